//! The first instructions and the last store.
#![allow(unsafe_code)]

use crate::registers;

/// What a guest ends with: 0 to [`abi::registers::EXIT_CODE_MAXIMUM`]; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(pub u32);

impl ExitCode {
    /// The guest did what it was there for.
    pub const SUCCESS: Self = Self(0);
}

/// What a guest's `main` may return.
pub trait Termination {
    /// The code to end with.
    fn code(self) -> ExitCode;
}

impl Termination for () {
    fn code(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}

impl Termination for ExitCode {
    fn code(self) -> ExitCode {
        self
    }
}

impl<E: core::fmt::Display> Termination for Result<(), E> {
    fn code(self) -> ExitCode {
        match self {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                crate::println!("{error}");
                ExitCode(1)
            }
        }
    }
}

/// Ends the instance. What was printed still arrives.
pub fn exit(code: ExitCode) -> ! {
    registers::end(code.0)
}

#[cfg(not(test))]
mod start {
    use crate::{boot, clock, control, heap, prepared};
    use abi::boot::{BOOT_MAGIC, BootPage, MARK_ENTRY, MARK_RUNTIME};

    unsafe extern "Rust" {
        // Made by `image!` from the guest's `main`.
        safe fn __minios_main() -> u32;
        // Likewise, from what can be done ahead.
        safe fn __minios_prepare();
    }

    /// Where the monitor enters: `rdi` = boot page, `rsp` = top of the stack, as before a call.
    ///
    /// # Safety
    /// Only the monitor enters here, once.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".text.entry")]
    unsafe extern "C" fn _start(page: *const BootPage) -> ! {
        // A zero frame pointer ends every walk up the stack here.
        core::arch::naked_asm!("xor ebp, ebp", "call {enter}", "ud2", enter = sym enter)
    }

    unsafe extern "C" fn enter(page: *const BootPage) -> ! {
        let entered = clock::tsc();
        // SAFETY: this is the entry, and `page` the monitor's.
        let is_prepared = unsafe { boot::init(page) };
        let page = boot::page();
        if page.magic != BOOT_MAGIC
            || page.version_major != abi::VERSION_MAJOR
            || (page.size as usize) < size_of::<BootPage>()
        {
            // A monitor of another kind has no console that we know of.
            super::registers::end(abi::registers::EXIT_CODE_PANIC);
        }
        boot::mark_at(MARK_ENTRY, entered.0);
        clock::init(page);
        heap::init(page.heap);
        // SAFETY: the control page and its rings are as the boot page says, and ours alone on this side.
        unsafe { control::init(page.control_page) };
        boot::mark(MARK_RUNTIME);
        if is_prepared {
            prepared::wait(__minios_prepare);
            // The instance begins here.
            boot::mark(MARK_ENTRY);
            clock::init(boot::page());
            boot::mark(MARK_RUNTIME);
        }
        let code = __minios_main();
        control::drain_before_exit();
        super::registers::end(code)
    }

    /// The pre-built `core` names it in its unwind tables, which guests do not keep.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {}

    /// Likewise, in debug builds.
    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume() -> ! {
        super::registers::end(abi::registers::EXIT_CODE_PANIC)
    }
}
