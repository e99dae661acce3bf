//! Every method of the SIMD trait, under every instruction set that this CPU
//! has, against the plain model; loads and stores of every length, with
//! canaries.

use mlpc_kernels::lines::Lines;
use mlpc_kernels::simd::{Column, Isa, Model, Op, Simd, Sums, Twice};

/// Numbers of a multiple of 32, of all kinds.
fn numbers(seed: u32) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        -2.5,
        f32::MIN_POSITIVE,
        -f32::MIN_POSITIVE,
        f32::from_bits(1),
        -f32::from_bits(0x7f_ffff),
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        f32::from_bits(0x7fc0_1234),
    ];
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The upper half of all bit patterns, and of numbers around 1.
        if state & 0x400 == 0 {
            f32::from_bits(state ^ (state >> 16))
        } else {
            (state >> 8) as f32 / (1 << 21) as f32 - 4.0
        }
    });
    // Every pair of special numbers meets, when two lists turn at different
    // speeds.
    let pairs = special.len() * special.len();
    let step = if seed.is_multiple_of(2) { 1 } else { special.len() };
    let turning = (0..pairs).map(|i| special[i / step % special.len()]);
    turning.chain(random).take(32 * 512).collect()
}

/// Whether both are NaN, or the same bits.
fn same(x: f32, y: f32) -> bool {
    x.is_nan() && y.is_nan() || x.to_bits() == y.to_bits()
}

/// A list of methods becomes the names and one function that calls them.
macro_rules! methods {
    ($s:ident, $a:ident, $b:ident, $c:ident; $($name:ident = $call:expr;)*) => {
        const METHODS: &[&str] = &[$(stringify!($name)),*];

        #[inline(always)]
        fn call<S: Simd>($s: S, method: &str, $a: S::V, $b: S::V, $c: S::V) -> S::V {
            match method {
                $(stringify!($name) => $call,)*
                _ => unreachable!("a method of the list"),
            }
        }
    };
}

methods! {
    s, a, b, c;
    add = s.add(a, b);
    sub = s.sub(a, b);
    mul = s.mul(a, b);
    div = s.div(a, b);
    mul_add = s.mul_add(a, b, c);
    neg_mul_add = s.neg_mul_add(a, b, c);
    min = s.min(a, b);
    max = s.max(a, b);
    abs = s.abs(a);
    neg = s.neg(a);
    copysign = s.copysign(a, b);
    signed = s.signed(a, b);
    sqrt = s.sqrt(a);
    round = s.round(a);
    scale = s.scale(a, b);
    scale_small = s.scale_small(a, b);
    power_of_two = s.power_of_two(a);
    nearest = s.round_to_power(a, 0.5, 24.0).0;
    nearest_power = s.round_to_power(a, 0.5, 24.0).1;
    mantissa = s.mantissa_exponent(a).0;
    exponent = s.mantissa_exponent(a).1;
    lt = s.select(s.lt(a, b), c, a);
    eq = s.select(s.eq(a, b), c, a);
    map = s.map(a, |x| x.to_bits() as f32);
}

struct Call<'a> {
    method: &'a str,
    a: &'a [f32],
    b: &'a [f32],
    c: &'a [f32],
}

impl Op for Call<'_> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut out = vec![0.0; self.a.len()];
        for (i, out) in out.chunks_exact_mut(S::LANES).enumerate() {
            let at = |x: &[f32]| s.load(&x[i * S::LANES..]);
            s.store(call(s, self.method, at(self.a), at(self.b), at(self.c)), out);
        }
        out
    }
}

/// The same operation with twice the lanes.
struct Doubled<O>(O);

impl<O: Op> Op for Doubled<O> {
    type Output = O::Output;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> O::Output {
        self.0.run(Twice(s))
    }
}

struct Halved<O>(O);

impl<O: Op> Op for Halved<O> {
    type Output = O::Output;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> O::Output {
        assert!(S::Half::LANES == S::LANES || 2 * S::Half::LANES == S::LANES);
        s.half().outlined(self.0)
    }
}

/// The numbers of a method's domain, where that is not all.
fn domain(method: &str, a: &mut [f32], b: &mut [f32]) {
    let whole = |x: f32, from: i32, to: i32| {
        let span = (to - from + 1) as u32;
        (from + (x.to_bits() % span) as i32) as f32
    };
    for (a, b) in a.iter_mut().zip(b) {
        let nan = a.is_nan();
        match method {
            "round" => *a = if a.abs() < 4_194_304.0 { *a } else { (*a % 64.0) * 0.5 },
            "scale" | "scale_small" => {
                let (from, to) = if method == "scale" { (-252, 252) } else { (-150, 100) };
                *b = whole(*b, from, to);
                let mantissa = f32::from_bits(a.to_bits() & 0x807f_ffff | 0x3f80_0000);
                *a = mantissa * [0.5, 1.0, 2.0][(a.to_bits() >> 9) as usize % 3];
                if nan {
                    (*a, *b) = (f32::from_bits(0x7fc0_1234), f32::from_bits(0x7fc0_4321));
                }
            }
            "power_of_two" => *a = whole(*a, -126, 127),
            "signed" => *a = a.abs(),
            "nearest" | "nearest_power" => {
                *a = if a.is_finite() { *a % 205.0 } else { 1.5 };
                // Between two integers either one will do.
                *a += if a.abs() % 2.0 == 1.0 { 0.25 } else { 0.0 };
            }
            "mantissa" | "exponent" => {
                let x = a.abs();
                *a = if x.is_normal() { x } else { 1.0 + (x.to_bits() % 1024) as f32 }
            }
            _ => {}
        }
    }
}

#[test]
fn every_method_is_its_definition() {
    for &method in METHODS {
        for seed in 0..3 {
            let (mut a, mut b, c) = (numbers(seed), numbers(seed + 1), numbers(seed + 7));
            domain(method, &mut a, &mut b);
            let call = || Call { method, a: &a, b: &b, c: &c };
            let expected = call().run(Model::<8>);
            let check = |computed: Vec<f32>, who: &str| {
                for (i, (&x, &y)) in computed.iter().zip(&expected).enumerate() {
                    let (a, b, c) = (a[i], b[i], c[i]);
                    let agrees = same(x, y)
                        || match method {
                            // Fused or not.
                            "mul_add" => same(x, a * b + c),
                            "neg_mul_add" => same(x, c - a * b),
                            // The sign of a zero is open.
                            "round" | "nearest" => x == y,
                            _ => false,
                        };
                    assert!(agrees, "{method}({a:e}, {b:e}, {c:e}) under {who}: {x:e}, not {y:e}");
                }
            };
            check(call().run(Model::<16>), "the model of 16 lanes");
            check(call().run(Twice(Model::<8>)), "twice the model");
            for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
                check(isa.run(call()), isa.name());
                check(isa.run(Doubled(call())), &format!("twice {isa}"));
            }
        }
    }
}

/// Loads, stores, sums, gathers and transposes, all lengths; panics where one
/// is wrong.
struct Memory;

/// Vector i is a ramp i times as steep.
struct Ramps<V>(V);

impl<S: Simd> Column<S> for Ramps<S::V> {
    #[inline(always)]
    fn at(&self, s: S, i: usize) -> S::V {
        s.mul(self.0, s.splat(i as f32))
    }
}

struct Parts(Vec<f32>);

impl Sums for Parts {
    fn add(&mut self, x: f32) {
        self.0.push(x);
    }
}

const CANARY: f32 = 1234.5;

impl Op for Memory {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from: Vec<f32> = (1..=S::LANES).map(|i| i as f32).collect();
        let ramp = s.load(&from);
        for start in 0..S::LANES {
            for n in 0..=S::LANES {
                // Stores, into the middle of canaries.
                let mut to = vec![CANARY; start + S::LANES + 1];
                s.store_partial(ramp, &mut to[start..start + n]);
                check_range(&to, start, n);
                let mut to = vec![CANARY; start + S::LANES + 1];
                // SAFETY: the vector has LANES elements from `start` on.
                unsafe { s.store_first(ramp, to.as_mut_ptr().add(start), n) }
                check_range(&to, start, n);
                // Loads, from an allocation that ends where they end.
                let mut exact = vec![CANARY; start];
                exact.extend(&from[..n]);
                let mut lanes = vec![CANARY; S::LANES];
                s.store(s.load_partial(&exact[start..]), &mut lanes);
                check_lanes(&lanes, n);
                // SAFETY: n elements follow `start`.
                let loaded = unsafe { s.load_first(exact.as_ptr().add(start), n) };
                s.store(loaded, &mut lanes);
                check_lanes(&lanes, n);
            }
            let mut to = vec![CANARY; start + S::LANES + 1];
            s.store(ramp, &mut to[start..]);
            check_range(&to, start, S::LANES);
            to.fill(CANARY);
            // SAFETY: the vector has LANES elements from `start` on.
            unsafe { s.store_ptr(ramp, to.as_mut_ptr().add(start)) }
            check_range(&to, start, S::LANES);
            // SAFETY: as above.
            let loaded = unsafe { s.load_ptr(to.as_ptr().add(start)) };
            assert_eq!(s.sum(s.sub(loaded, ramp)), 0.0);
        }
        // Past the caches, from an address that is a multiple of every register's bytes.
        let mut lines = Lines::zeros(S::LANES + 1);
        lines.fill(CANARY);
        // SAFETY: the memory has LANES elements and begins at a line.
        unsafe { s.stream_ptr(ramp, lines.as_mut_ptr()) }
        s.streamed();
        check_range(&lines, 0, S::LANES);

        // Small whole numbers: exact in any order.
        assert_eq!(s.sum(ramp), (S::LANES * (S::LANES + 1) / 2) as f32);
        let mut parts = Parts(Vec::new());
        s.sum_parts(ramp, &mut parts);
        assert_eq!(parts.0.iter().sum::<f32>(), s.sum(ramp));
        let sums = s.sum4([ramp, s.splat(1.0), s.neg(ramp), s.add(ramp, ramp)]);
        let one = s.sum(ramp);
        assert_eq!(sums, [one, S::LANES as f32, -one, 2.0 * one]);
        let mut lanes = vec![0.0; S::LANES];
        s.store(s.sums(&Ramps(ramp)), &mut lanes);
        assert!(lanes.iter().enumerate().all(|(i, &x)| x == one * i as f32), "{lanes:?}");

        // Rows of their own, which end with the element that is asked for.
        for at in 0..3 {
            let rows: Vec<Vec<f32>> =
                (0..S::LANES).map(|i| (0..=at).map(|j| (100 * j + i) as f32).collect()).collect();
            let pointers: Vec<*const f32> = rows.iter().map(|row| row.as_ptr()).collect();
            // SAFETY: LANES rows, each of which has an element `at`.
            s.store(unsafe { s.gather(pointers.as_ptr(), at) }, &mut lanes);
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == (100 * at + i) as f32));
        }
        for stride in [1, 2, 7] {
            let spread: Vec<f32> = (0..(S::LANES - 1) * stride + 1).map(|i| i as f32).collect();
            // SAFETY: the last of the LANES elements is the last there is.
            s.store(unsafe { s.load_strided(spread.as_ptr(), stride) }, &mut lanes);
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == (i * stride) as f32));
        }
        // Columns of rows apart, which end with the last of them, and of rows one behind
        // the other.
        for (at, count) in [(0, 4), (1, 4), (0, 8), (1, 8)] {
            let row = |i| (0..at + count).map(|j| (100 * j + i) as f32).collect();
            let rows: Vec<Vec<f32>> = (0..S::LANES).map(row).collect();
            let pointers: Vec<*const f32> = rows.iter().map(|row| row.as_ptr()).collect();
            // SAFETY: LANES rows, each of which ends with element `at` + `count` − 1.
            let columns: Vec<S::V> = unsafe {
                match count {
                    4 => s.columns4(pointers.as_ptr(), at).into(),
                    _ => s.columns8(pointers.as_ptr(), at).into(),
                }
            };
            for (j, column) in columns.into_iter().enumerate() {
                s.store(column, &mut lanes);
                assert!(lanes.iter().enumerate().all(|(i, &x)| x == (100 * (at + j) + i) as f32));
            }
        }
        let together: Vec<f32> = (0..4 * S::LANES).map(|i| i as f32).collect();
        let part = |i: usize| s.load(&together[i * S::LANES..]);
        let two = s.deinterleave2([part(2), part(3)]);
        let four = s.deinterleave4([part(0), part(1), part(2), part(3)]);
        for (j, column) in two.into_iter().enumerate() {
            s.store(column, &mut lanes);
            let expected = |i: usize| (2 * (S::LANES + i) + j) as f32;
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == expected(i)), "{lanes:?}");
        }
        for (j, column) in four.into_iter().enumerate() {
            s.store(column, &mut lanes);
            assert!(lanes.iter().enumerate().all(|(i, &x)| x == (4 * i + j) as f32), "{lanes:?}");
        }
        assert_eq!(s.outlined(Lanes), S::LANES);
        let mut lanes = vec![0.0; S::LANES];
        s.store(s.splat(2.5), &mut lanes);
        assert!(lanes.iter().all(|&x| x == 2.5));

        let (from_stride, to_stride) = (11, 9);
        let block: Vec<f32> = (0..8 * from_stride).map(|i| i as f32).collect();
        for columns in [8, 4] {
            let mut to = vec![CANARY; 8 * to_stride];
            // SAFETY: both have 8 rows of 8, at their strides.
            unsafe {
                let rows = std::array::from_fn(|i| block.as_ptr().add(i * from_stride));
                match columns {
                    8 => s.transpose8(rows, to.as_mut_ptr(), to_stride),
                    _ => s.transpose8x4(rows, to.as_mut_ptr(), to_stride),
                }
            }
            for (i, &x) in to.iter().enumerate() {
                let (row, column) = (i / to_stride, i % to_stride);
                let within = row < columns && column < 8;
                assert_eq!(x, if within { block[column * from_stride + row] } else { CANARY });
            }
        }
        // Rows of 4, also where the next one begins within.
        for to_stride in [2, 3, 4, 9] {
            let mut to = vec![CANARY; 8 * to_stride + 4];
            // SAFETY: 4 rows of 8 on one side, 8 of 4 on the other.
            unsafe {
                let rows = std::array::from_fn(|i| block.as_ptr().add(i * from_stride));
                s.transpose4x8(rows, to.as_mut_ptr(), to_stride);
            }
            for (i, &x) in to.iter().enumerate() {
                let row = (i / to_stride).min(7);
                let column = i - row * to_stride;
                let within = column < 4;
                assert_eq!(x, if within { block[column * from_stride + row] } else { CANARY });
            }
        }
    }
}

struct Lanes;

impl Op for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// 1, 2, 3… at `start..start + n`, canaries elsewhere.
fn check_range(x: &[f32], start: usize, n: usize) {
    for (i, &x) in x.iter().enumerate() {
        let expected =
            if (start..start + n).contains(&i) { (i - start + 1) as f32 } else { CANARY };
        assert_eq!(x, expected, "element {i} of {n} from {start} on");
    }
}

/// 1, 2, 3… in the first `n` lanes, zeros behind them.
fn check_lanes(x: &[f32], n: usize) {
    for (i, &x) in x.iter().enumerate() {
        assert_eq!(x, if i < n { (i + 1) as f32 } else { 0.0 }, "lane {i} of {n}");
    }
}

#[test]
fn loads_and_stores_touch_what_they_say() {
    Memory.run(Model::<8>);
    Memory.run(Model::<16>);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        isa.run(Memory);
        isa.run(Doubled(Memory));
        isa.run(Halved(Memory));
    }
}
