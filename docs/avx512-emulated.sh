#!/usr/bin/env bash
# Runs the AVX-512 kernels on a machine whose CPU lacks AVX-512, in the Bochs
# emulator: the conformance test of the kernel table and the tests of the SIMD
# floor and of small networks. It takes half an hour: every kernel is some 50
# times slower than on a CPU. What it shows is right results, not speed.
#
#   docs/avx512-emulated.sh BOCHS VMLINUZ
#
# BOCHS is a source tree of Bochs (https://github.com/bochs-emu/Bochs, folder
# bochs), built with
#   ./configure --enable-x86-64 --enable-avx --enable-evex --enable-cpu-level=6 \
#     --enable-fpu --enable-repeat-speedups --enable-fast-function-calls \
#     --enable-handlers-chaining --enable-long-phy-address --with-nogui \
#     --disable-docbook && make
# VMLINUZ is any Linux of the last years with a serial console, as in Debian's
# package linux-image-amd64. Needs busybox (static), cpio, grub-mkrescue for
# BIOS (grub-pc-bin, xorriso, mtools).
set -euo pipefail

[ $# = 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
bochs=$(realpath "$1") kernel=$(realpath "$2")
cd "$(dirname "$0")/.."
tests=(simd small conformance)

# Static, so that nothing else has to be there.
target=x86_64-unknown-linux-gnu
built=$(RUSTFLAGS="-C target-feature=+crt-static" cargo test --release --locked --target $target \
    -p mlpc-kernels "${tests[@]/#/--test=}" --no-run 2>&1 | tee /dev/stderr)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,proc,sys,dev,tmp} "$work/iso/boot/grub"
cp "$(command -v busybox)" "$work/root/bin/busybox"
for test in "${tests[@]}"; do
    cp "$(sed -n "s/.*(\(.*\/$test-[0-9a-f]*\)).*/\1/p" <<<"$built")" "$work/root/$test"
    strip "$work/root/$test"
done

cat >"$work/root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
export MLPC_ISA=avx512
cd /tmp
for test in ${tests[*]}; do
    /\$test --test-threads=1 && echo "passed: \$test"
done
sync; sleep 2; poweroff -f
END
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/iso/boot/initrd"
cp "$kernel" "$work/iso/boot/vmlinuz"
cat >"$work/iso/boot/grub/grub.cfg" <<'END'
set timeout=0
terminal_output console
linux /boot/vmlinuz console=ttyS0,115200 mitigations=off nokaslr nopti tsc=reliable clocksource=tsc lpj=1000000 no_timer_check nowatchdog quiet panic=1
initrd /boot/initrd
boot
END
grub-mkrescue -o "$work/boot.iso" "$work/iso" -d /usr/lib/grub/i386-pc >"$work/grub.log" 2>&1 ||
    { cat "$work/grub.log" >&2; exit 1; }

cat >"$work/bochsrc" <<END
display_library: nogui
cpu: model=corei7_skylake_x, count=1, ips=200000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file=$bochs/bios/BIOS-bochs-latest, options=fastboot
vgaromimage: file=$bochs/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin
vga: extension=vbe, update_freq=1
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev=$work/serial
log: $work/log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
END
: >"$work/serial"
BXSHARE="$bochs/bios" "$bochs/bochs" -q -f "$work/bochsrc" >"$work/out" 2>&1 </dev/null &
emulator=$!
tail --pid=$emulator -n +1 -f "$work/serial"
wait $emulator || true
for test in "${tests[@]}"; do
    grep -q "^passed: $test" "$work/serial" || { echo "$test has not passed" >&2; exit 1; }
done
