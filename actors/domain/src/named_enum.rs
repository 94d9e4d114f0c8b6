//! Enums whose variants have names in texts.

/// One of a fixed set of values, each of which has a name: what is the same for every [`named_enum!`](crate::named_enum).
pub trait NamedValue: Copy + 'static {
    /// All of them, in the order of their declaration.
    const VALUES: &'static [Self];

    /// The name in JSON, columns and messages.
    fn name(self) -> &'static str;
}

/// Declares an enum with the name of each variant beside it: `ALL`, `as_str` and `from_name` follow from that one list.
///
/// ```
/// flowlord_domain::named_enum! {
///     /// Where a lamp stands.
///     #[derive(Debug, Clone, Copy, PartialEq, Eq)]
///     pub enum Light {
///         /// It shines.
///         On = "on",
///         /// It doesn't.
///         TurnedOff = "turned_off",
///     }
/// }
///
/// assert_eq!(Light::ALL.map(Light::as_str), ["on", "turned_off"]);
/// assert_eq!(Light::from_name("turned_off"), Some(Light::TurnedOff));
/// assert_eq!(Light::from_name("On"), None);
/// ```
#[macro_export]
macro_rules! named_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$variant_meta])* $variant),+
        }

        impl $name {
            /// All of them, in the order of their declaration.
            $vis const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The name in JSON, columns and messages.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// The one of that name; none where there is no such name.
            #[must_use]
            $vis fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|named| named.as_str() == name)
            }
        }

        impl $crate::NamedValue for $name {
            const VALUES: &'static [Self] = &Self::ALL;

            fn name(self) -> &'static str {
                self.as_str()
            }
        }
    };
}
