//! Functions that are compiled once more for CPUs with further instructions.

/// Defines a function that is compiled as it is, and once more for x86-64 CPUs
/// with some features, which is what is called where the CPU has them. No closure in
/// it may be left to be called: it would be compiled without the features.
macro_rules! compiled_for {
    ([$($feature:tt),+]
    $(#[$meta:meta])*
    $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $returns:ty)?
    $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) $(-> $returns)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $returns)? $body

            #[cfg(target_arch = "x86_64")]
            if $(std::is_x86_feature_detected!($feature))&&+ {
                $(#[target_feature(enable = $feature)])+
                fn compiled($($argument: $type),*) $(-> $returns)? {
                    body($($argument),*)
                }
                // SAFETY: the CPU has what the function is compiled for, as was
                // just checked.
                return unsafe { compiled($($argument),*) };
            }
            body($($argument),*)
        }
    };
}

pub(crate) use compiled_for;
