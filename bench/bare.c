// The yardstick for a monitor: the least that a program can do with one virtual machine. It makes one with one vCPU and
// 1 MiB of memory, runs seven bytes of code in ring 3 to their one exit, prints a line, and ends; with an argument it stays.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    (void)argv;
    int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    uint8_t *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region region = {0, 0, 0, 1 << 20, (uint64_t)memory};
    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run =
        mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

    // Two large pages: memory at 0, a register that nothing backs at 0xd0001000. Accessed and Dirty are preset.
    uint64_t *table = (uint64_t *)(memory + 0x2000);
    table[0] = 0x3067;
    table[512 + 0] = 0x4067, table[512 + 3] = 0x5067;
    table[1024] = 0xe7, table[1536 + 128] = 0xd00000e7;
    // mov ebx, 0xd0001000; mov [rbx], eax
    memcpy(memory + 0x8000, (uint8_t[]){0xbb, 0x00, 0x10, 0x00, 0xd0, 0x89, 0x03}, 7);

    struct kvm_sregs s;
    ioctl(vcpu, KVM_GET_SREGS, &s);
    s.cr3 = 0x2000, s.cr4 = 0x620, s.cr0 = 0x80050033, s.efer = 0xd00;
    struct kvm_segment flat = {.limit = ~0u, .selector = 0x33, .present = 1, .type = 11, .dpl = 3, .s = 1, .l = 1, .g = 1};
    s.cs = flat;
    flat.selector = 0x2b, flat.type = 3, flat.l = 0, flat.db = 1;
    s.ss = s.ds = s.es = s.fs = s.gs = flat;
    ioctl(vcpu, KVM_SET_SREGS, &s);
    struct kvm_regs r = {.rip = 0x8000, .rsp = 0x9000, .rflags = 2};
    ioctl(vcpu, KVM_SET_REGS, &r);
    ioctl(vcpu, KVM_RUN, 0);
    if (run->exit_reason != KVM_EXIT_MMIO) return 1;
    if (write(1, "bare\n", 5) != 5) return 1;
    if (argc > 1) pause();
    return 0;
}
