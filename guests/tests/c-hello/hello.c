/* A guest in C, from docs/guest-abi.md alone: prints a line and ends. Built by `make` in this folder. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* The image note (docs/guest-abi.md, "The note"). */
__attribute__((section(".note.microvisor"), used, aligned(4))) static const struct {
    u32 name_size, size, type;
    char name[12];
    u16 version_major, version_minor;
    u32 cpu_level;
    u64 memory_minimum, memory_default, stack_size, heap_touched, net_features;
    u16 net_minimum, net_maximum;
    u32 config;
    char config_format[16], image[32];
} note = {
    11, 104, 1, "MicroVisor", 1, 0, 1, 1 << 20, 1 << 20, 16384, 0, 0, 0, 0, 0, "", "c-hello",
};

/* Offsets in the boot page, the control page and the device page. */
enum { BOOT_CONTROL_PAGE = 104, TO_HOST = 192, PRODUCED = 0, TO_HOST_BYTES = 400 };
#define EXIT ((volatile u32 *)0x100010)

void start(const u8 *boot) {
    static const char text[] = "Hello from C.\n";
    u8 *control = *(u8 **)(boot + BOOT_CONTROL_PAGE);
    volatile u8 *ring = *(u8 **)(control + TO_HOST_BYTES);
    u32 at = 0;
    /* Header: length, kind (console output), status, id. */
    u32 header[4] = {sizeof text - 1, 0x81, 0, 0};
    for (u32 i = 0; i < sizeof header; i++) ring[at++] = ((const u8 *)header)[i];
    for (u32 i = 0; i < sizeof text - 1; i++) ring[at++] = text[i];
    __atomic_store_n((u32 *)(control + TO_HOST + PRODUCED), at, __ATOMIC_RELEASE);
    for (;;) *EXIT = 0;
}

__asm__(".globl _start\n.section .text.entry,\"ax\"\n_start: call start\nud2\n");
