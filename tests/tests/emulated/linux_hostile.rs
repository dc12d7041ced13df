//! Linux guests that do what they can to their monitor and to the host, in an emulated AMD host: each costs itself.

use e2e::emulated::Job;

/// A guest that does nothing but leave itself: each byte of this file is a load from a port.
const EXITS: &str = r#"
echo looping 0
while :; do cat /dev/port >/dev/null; done
"#;

/// A guest that writes to both of its consoles as fast as it can.
const FLOODS: &str = r#"
ready
(while :; do yes flood-of-virtio >/dev/hvc0; done) &
yes flood-of-serial
"#;

/// A guest whose disk is taken away.
const SHRINKS: &str = r#"
reads() { echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/dev/null bs=64K count=1 skip=4 2>/dev/null; }
reads && echo has-disk 0
for i in $(seq 300); do reads || break; sleep 0.1; done
reads || echo read-fails 0
dd if=/dev/zero of=/dev/vda bs=64K count=64 conv=fsync 2>/dev/null
echo goes-on 0
off 4
"#;

/// A guest beside them.
const BESIDE: &str = r#"
ip addr add 10.8.0.1/24 dev eth0
ip link set eth0 up
ready
while :; do sleep 1; done
"#;

/// What runs in the emulated host.
const SCRIPT: &str = r#"
echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled
linux() { exec ./microvisor-linux --kernel vmlinuz --initrd initrd --memory 96 "$@"; }
quick="console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check audit=0 apparmor=0"
until_so() { for i in $(seq 600); do "$@" && return 0; sleep 0.1; done; return 1; }
try() { name=$1; shift; "$@" >out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat out; }
truncate -s 1M disk
linux --disk disk --cmdline "$quick case=shrinks" >shrinks 2>errors &
shrinks=$!
linux --net tap=t0 --cmdline "$quick case=beside" --report beside.report >beside 2>errors &
beside=$!
until_so grep -q has-disk shrinks
truncate -s 0 disk
wait $shrinks; echo "shrinks $?"
[ $(stat -c %s disk) -le 1048576 ]; echo "disk-is-bounded $?"
until_so grep -q '"report":"ready"' beside.report
ip addr add 10.8.0.2/24 dev t0
ip link set t0 up
linux --cmdline "$quick case=exits" >exits 2>errors &
exits=$!
# Nobody reads what it prints.
mkfifo pipe
sleep 1000 <pipe &
linux --cmdline "$quick case=floods" --report floods.report >pipe 2>errors &
floods=$!
until_so grep -q looping exits
until_so grep -q '"report":"ready"' floods.report
sleep 3
try beside ping -c 5 -W 5 10.8.0.1
memory() { awk '/^RssAnon:/ { print $2 }' /proc/$1/status; }
echo "memory-of-monitors exits $(memory $exits) floods $(memory $floods) beside $(memory $beside) KiB"
[ $(memory $floods) -le 4096 ] && [ $(memory $exits) -le 4096 ]; echo "memory-is-bounded $?"
# The first signal asks; one that does not listen is ended by the second.
for pid in $exits $floods; do
	begun=$(date +%s)
	kill -TERM $pid
	sleep 0.5
	kill -TERM $pid
	wait $pid; echo "ended $?"
	[ $(( $(date +%s) - begun )) -le 10 ]; echo "in-time $?"
done
kill -KILL $beside
cat shrinks; echo
cat errors
"#;

#[test]
#[ignore = "takes minutes: make test-linux"]
fn hostile_linux_guest_costs_itself_alone() {
    let job = Job::new(&[("exits", EXITS), ("floods", FLOODS), ("shrinks", SHRINKS), ("beside", BESIDE)]);
    let lines = job.run(SCRIPT);
    lines.have("shrinks", "4");
    lines.have("ended", "143");
    lines.have("has-disk read-fails goes-on disk-is-bounded beside memory-is-bounded in-time", "0");
}
