//! Types that ask serde for the same, and refuse the same, as those of widespread crates.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::ParseIntError;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A text that is read by this function, as most crates read theirs.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $reads:expr) => {
        $(#[$doc])*
        pub(in crate::model::shape) struct $name;

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", stringify!($name)))
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        let reads: fn(&str) -> bool = $reads;
                        if reads(text) { Ok($name) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

text! {
    /// As `url::Url`.
    Url, |text| text.contains("://")
}
text! {
    /// As `ipnet::IpNet`.
    IpNet, |text| {
        let net = text.split_once('/').and_then(|(ip, length)| Some((ip.parse::<IpAddr>().ok()?, length)));
        net.is_some_and(|(ip, length)| length.parse::<u8>().is_ok_and(|bits| bits <= if ip.is_ipv4() { 32 } else { 128 }))
    }
}
text! {
    /// As `ipnet::Ipv4Net`.
    Ipv4Net, |text| text.split_once('/').is_some_and(|(ip, _)| ip.parse::<std::net::Ipv4Addr>().is_ok())
}
text! {
    /// As `semver::Version`.
    Version, |text| {
        let numbers = text.split('-').next().unwrap_or_default();
        numbers.split('.').count() == 3 && numbers.split('.').all(|part| part.parse::<u64>().is_ok())
    }
}
text! {
    /// As `serde_with`'s `Base64`.
    Base64, |text| {
        text.len() % 4 == 0 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    }
}

text! {
    /// As a list in a text, of `serde_with`.
    Commas, |text| text.is_empty() || text.split(',').all(|part| part.parse::<u32>().is_ok())
}
text! {
    /// As a whole number of any length, of `bigdecimal`.
    Digits, |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

text! {
    /// As `uuid::NonNilUuid`.
    NonNil, |text| uuid::Uuid::parse_str(text).is_ok_and(|id| !id.is_nil())
}

text! {
    /// As the names in an address of a page.
    Slug, |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// As `serde_with`'s `DisplayFromStr`.
pub(in crate::model::shape) struct Shown<T>(PhantomData<T>);

impl<'de, T: std::str::FromStr<Err = ParseIntError>> Deserialize<'de> for Shown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: std::str::FromStr<Err = ParseIntError>> Visitor<'_> for Text<T> {
            type Value = Shown<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Shown<T>, E> {
                text.parse::<T>().map(|_| Shown(PhantomData)).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// As `arrayvec::ArrayString` and `heapless::String`.
pub(in crate::model::shape) struct ArrayString<const MOST: usize>;

impl<'de, const MOST: usize> Deserialize<'de> for ArrayString<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const MOST: usize>;
        impl<const MOST: usize> Visitor<'_> for Text<MOST> {
            type Value = ArrayString<MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a string no more than {MOST} bytes long")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ArrayString<MOST>, E> {
                if text.len() > MOST { Err(E::invalid_length(text.len(), &self)) } else { Ok(ArrayString) }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// As `arrayvec::ArrayVec` and `heapless::Vec`.
pub(in crate::model::shape) struct ArrayVec<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for ArrayVec<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Parts<T, MOST> {
            type Value = ArrayVec<T, MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array with no more than {MOST} items")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut count = 0;
                while parts.next_element::<T>()?.is_some() {
                    count += 1;
                    if count > MOST {
                        return Err(A::Error::invalid_length(count, &self));
                    }
                }
                Ok(ArrayVec(PhantomData))
            }
        }
        deserializer.deserialize_seq(Parts(PhantomData))
    }
}

/// As `serde_bytes::ByteArray`, and, of no fixed length, as `bytes::Bytes` and `serde_bytes::ByteBuf`.
pub(in crate::model::shape) struct Bytes<const LEN: usize>;

impl<'de, const LEN: usize> Deserialize<'de> for Bytes<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<const LEN: usize>;
        impl<const LEN: usize> All<LEN> {
            fn of<E: Error>(self, len: usize) -> Result<Bytes<LEN>, E> {
                if len == LEN || LEN == usize::MAX { Ok(Bytes) } else { Err(E::invalid_length(len, &self)) }
            }
        }
        impl<'de, const LEN: usize> Visitor<'de> for All<LEN> {
            type Value = Bytes<LEN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a byte array of length {LEN}")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Self::Value, A::Error> {
                let mut len = 0;
                while bytes.next_element::<u8>()?.is_some() {
                    len += 1;
                }
                self.of(len)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes<LEN>, E> {
                self.of(text.len())
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes<LEN>, E> {
                self.of(bytes.len())
            }
        }
        deserializer.deserialize_bytes(All)
    }
}

/// As `time::OffsetDateTime`.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its type matters")]
pub(in crate::model::shape) struct OffsetDateTime(i32, u16, u8, u8, u8, u32, i8, i8, i8);

/// As `either::Either`.
#[derive(Deserialize)]
pub(in crate::model::shape) enum Either<L, R> {
    Left(L),
    Right(R),
}

/// The seconds since 1970 of a time that has a year of four digits, as of `serde_with` and `time`.
pub(in crate::model::shape) struct Seconds;

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = i64::deserialize(deserializer)?;
        let fits = (-377_705_116_800..=253_402_300_799).contains(&seconds);
        if fits { Ok(Self) } else { Err(D::Error::custom("expected a time with a year of four digits")) }
    }
}

/// A time that may not be negative, as `serde_with`'s `DurationSecondsWithFrac`.
pub(in crate::model::shape) struct Positive;

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if seconds >= 0.0 { Ok(Self) } else { Err(D::Error::custom("expected a time that is not negative")) }
    }
}

/// A list without equal parts, as `serde_with`'s `SetPreventDuplicates`.
pub(in crate::model::shape) struct Different;

impl<'de> Deserialize<'de> for Different {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Vec::<u32>::deserialize(deserializer)?;
        let all: std::collections::BTreeSet<_> = parts.iter().collect();
        if all.len() == parts.len() { Ok(Self) } else { Err(D::Error::custom("invalid entry: found duplicate value")) }
    }
}
