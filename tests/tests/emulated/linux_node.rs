//! Linux guests of a node, in an emulated AMD host: their image, their disk, their life, and what outlives the daemon.

use e2e::emulated::Job;
use e2e::{program, run, take_along};
use std::process::Command;

/// The guest: it gives itself the address that it is told, and counts its starts on its disk.
const GUEST: &str = r#"
address=$(sed 's/.* ip=\([0-9.]*\)::.*/\1/' /proc/cmdline)
ip link set lo up
ip addr add $address/24 dev eth0
ip link set eth0 up
mount -t ext4 /dev/vda /run
echo start >>/run/starts
sync
starts=$(wc -l </run/starts)
echo "start-number $starts of $(nproc) processors with $(blockdev --getsize64 /dev/vda) bytes"
[ "$fail" = yes ] && [ $starts -lt 2 ] && off 5
if [ "$marks" = off ]; then ping -c 1 -W 1 10.0.0.1 >/dev/null; else ready; fi
grep -q 'Power Button' /sys/class/input/event0/device/name && exec 3</dev/input/event0
head -c 24 <&3 >/dev/null
echo pressed
sync
off 0
"#;

/// The node in the emulated host, with an image, a network and a flavor.
const NODE: &str = r#"
# Programs find each other and their libraries where they would on a host.
mkdir -p /lib64 /lib/x86_64-linux-gnu /run/microvisor
cp lib/loader /lib64/ld-linux-x86-64.so.2
cp lib/*.so* /lib/x86_64-linux-gnu/
ln -s /proc/self/fd /dev/fd
echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled
export MICROVISOR_NODE=/run/n/api.sock MICROVISOR_IMAGES=/job/images PATH=/job:$PATH
mkdir images
until_so() { for i in $(seq 300); do "$@" && return 0; sleep 0.2; done; return 1; }
try() { name=$1; shift; "$@" >out 2>&1; status=$?; echo "$name $status"; [ $status = 0 ] || cat out; }
is() { microvisor ps 2>/dev/null | grep -q "^$1  *$2"; }
node() { microvisor-node --run /run/n --state /var/n >>node.log 2>&1 & }
mkdir -p /var/n
node
node=$!
until_so microvisor status >/dev/null 2>&1

mkdir debian.image
mv disk debian.image/root.img
mv vmlinuz initrd debian.image/
cat >debian.image/image.toml <<END
kernel = "vmlinuz"
initrd = "initrd"
disk = "root.img"
memory-mib = 128
cmdline = "console=ttyS0 quiet panic=-1 cryptomgr.notests tsc=reliable no_timer_check audit=0 apparmor=0 case=node"
END
try inspects microvisor inspect debian.image
try imports microvisor image import debian.image
try net microvisor net create blue --subnet 10.0.0.0/24 --gateway 10.0.0.1 --host blue --address 10.0.0.1/24
try flavor microvisor flavor create big --vcpus 2 --disk 24
"#;

/// The life of an instance.
const LIFE: &str = r#"
microvisor run debian --network blue,address=10.0.0.5 --flavor big --name web >out 2>&1; echo "run $?"; cat out
try ready until_so is web ready
try ping ping -c 3 -W 5 10.0.0.5
microvisor logs web | grep -q 'start-number 1 of 2 processors with 25165824 bytes'; echo "console $?"
microvisor timeline web --json | grep -q '"kernel"'; echo "timeline $?"
try pause microvisor pause web
ping -c 1 -W 2 10.0.0.5 >/dev/null; [ $? != 0 ]; echo "silent-while-paused $?"
try resume microvisor resume web
try ping-again until_so ping -c 1 -W 5 10.0.0.5
kill -KILL $node
node
node=$!
until_so microvisor status >/dev/null 2>&1
try adopted until_so is web ready
try ping-adopted ping -c 3 -W 5 10.0.0.5
try stop microvisor stop web
microvisor logs web | grep -q pressed; echo "button $?"
is web stopped; echo "stopped $?"
try start microvisor start web
try ready-again until_so is web ready
microvisor logs web | grep -q 'start-number 2 of'; echo "disk-stays $?"
try remove microvisor rm web --force
[ -z "$(ls /var/n/disks)" ]; echo "disk-goes $?"
tail -20 node.log
kill $node
"#;

/// Those that start by themselves.
const STARTS: &str = r#"
# By its policy it is started again until it does not fail; who does not say that it is ready is by its first packet.
microvisor run debian --network blue,address=10.0.0.6 --name again --restart on-failure --set fail=yes --set marks=off >out 2>&1
echo "run-again $?"; cat out
second() { microvisor logs again 2>/dev/null | grep -q 'start-number 2'; }
try restarts until_so second
try ready-by-packet until_so is again ready
try remove-again microvisor rm again --force

# The first packet starts it, and is answered.
try defines microvisor run debian --network blue,address=10.0.0.7 --name late --on-demand 600
is late waiting; echo "waits $?"
try first-packet ping -c 1 -W 60 10.0.0.7
try ready-on-demand until_so is late ready
try remove-late microvisor rm late --force
[ -z "$(pidof microvisor-linux)" ]; echo "nothing-runs $?"
tail -20 node.log
kill $node
"#;

/// A host with a node, and what it needs.
fn host() -> Job {
    let job = Job::new(&[("node", GUEST)]);
    for name in ["microvisor", "microvisor-node", "microvisor-switch"] {
        take_along(&program(name), job.folder());
    }
    let made = run(Command::new("mkfs.ext4").arg("-q").arg(job.folder().join("disk")).arg("16M"));
    assert_eq!(made.status, 0, "{made:?}");
    job
}

#[test]
#[ignore = "takes minutes: make test-linux"]
fn instance_lives_with_its_disk_and_outlives_the_daemon() {
    let lines = host().run(&[NODE, LIFE].concat());
    lines.have(
        "inspects imports net flavor run ready ping console timeline pause silent-while-paused resume ping-again adopted \
         ping-adopted stop button stopped start ready-again disk-stays remove disk-goes",
        "0",
    );
}

#[test]
#[ignore = "takes minutes: make test-linux"]
fn instances_start_by_their_policy_and_by_their_first_packet() {
    let lines = host().run(&[NODE, STARTS].concat());
    lines.have(
        "restarts ready-by-packet remove-again defines waits first-packet ready-on-demand remove-late nothing-runs",
        "0",
    );
}
