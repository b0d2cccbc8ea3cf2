//! One value of each variant of an enum.

/// A list with a value of each variant; one that is left out does not compile.
macro_rules! one_of_each {
    ($type:ty { $($variant:pat => $value:expr,)+ }) => {{
        let is_one = |value: $type| match value {
            $($variant => value,)+
        };
        vec![$(is_one($value)),+]
    }};
}
pub(crate) use one_of_each;
