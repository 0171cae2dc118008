//! Types that panic, that never end, and that are too large.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;

/// Mishandles errors.
#[derive(Debug)]
struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(u8::deserialize(deserializer).map(|_| Self).expect("a number"))
    }
}

/// Panics when it is dropped.
struct Drops;

impl Drop for Drops {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl<'de> Deserialize<'de> for Drops {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// Continues after each error, until its list ends.
struct Stubborn(usize);

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Stubborn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Stubborn, A::Error> {
                let mut count = 0;
                loop {
                    match list.next_element::<Option<u8>>() {
                        Ok(None) => return Ok(Stubborn(count)),
                        Ok(Some(_)) | Err(_) => count += 1,
                    }
                }
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// Asks for itself endlessly.
struct Endless;

impl<'de> Deserialize<'de> for Endless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Deeper<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Deeper<T> {
            type Value = Endless;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a newtype")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Endless, D::Error> {
                T::deserialize(deserializer).map(|_| Endless)
            }
        }
        deserializer.deserialize_newtype_struct("Endless", Deeper::<Endless>(std::marker::PhantomData))
    }
}

/// Refuses every value, with its own message.
struct Refuses;

impl<'de> Deserialize<'de> for Refuses {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("no"))
    }
}

/// A list of this length, which may be none that any memory holds.
struct Long<const LEN: usize>;

impl<'de, const LEN: usize> Deserialize<'de> for Long<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<const LEN: usize>;
        impl<'de, const LEN: usize> Visitor<'de> for All<LEN> {
            type Value = Long<LEN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
        }
        deserializer.deserialize_tuple(LEN, All)
    }
}

/// Reads an object with this many numbers, and counts how often it is run.
struct Counted<const LEN: usize>;

static RUNS: AtomicUsize = AtomicUsize::new(0);

fn field_names(len: usize) -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    &NAMES.get_or_init(|| (0..500).map(|number| &*format!("field_{number:03}").leak()).collect())[..len]
}

impl<'de, const LEN: usize> Deserialize<'de> for Counted<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<const LEN: usize>;
        impl<'de, const LEN: usize> Visitor<'de> for All<LEN> {
            type Value = Counted<LEN>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counted<LEN>, A::Error> {
                let mut there = HashSet::new();
                while let Some((key, _)) = map.next_entry::<String, u64>()? {
                    there.insert(key);
                }
                match field_names(LEN).iter().find(|name| !there.contains(**name)) {
                    Some(missing) => Err(A::Error::missing_field(missing)),
                    None => Ok(Counted),
                }
            }
        }
        RUNS.fetch_add(1, Ordering::Relaxed);
        deserializer.deserialize_struct("Counted", field_names(LEN), All)
    }
}

/// The number of runs, and not the time, so that it is the same on each machine.
#[test]
fn a_wide_body_is_read_a_few_times_for_each_field() {
    let mut runs = Vec::new();
    for shape in [Shape::of::<Counted<10>>, Shape::of::<Counted<100>>, Shape::of::<Counted<500>>] {
        RUNS.store(0, Ordering::Relaxed);
        let shape = shape();
        runs.push(RUNS.load(Ordering::Relaxed));
        assert!(shape.0.values().all(|node| !node.unseen), "{shape}");
    }
    assert!(runs[0] <= 50 && runs[1] <= 500 && runs[2] <= 2500, "{runs:?}");
}

#[test]
fn hostile_types_end_and_are_opaque() {
    assert_eq!(shape::<Panics>(), "body: u8\n");
    assert_eq!(shape::<Page<Panics>>(), "body: object, unseen\nbody.item: u8\n");
    assert_eq!(shape::<Drops>(), "body: anything, unseen\n");
    assert_eq!(shape::<Stubborn>(), "body: list\nbody[]: u8, or null\n");
    assert_eq!(shape::<Endless>(), "body: as body\n");
    assert_eq!(shape::<Page<Refuses>>(), "body: object\nbody.item: anything, unseen\n");
    assert_eq!(shape::<Long<{ usize::MAX }>>(), "body: anything, unseen\n");
    assert_eq!(shape::<Page<Long<1025>>>(), "body: object\nbody.item: anything, unseen\n");
    assert_eq!(Stubborn(1).0, 1);
}

#[test]
fn a_type_with_too_many_parts_ends_as_opaque() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its type matters")]
    struct Wide<T> {
        a: T,
        b: T,
        c: T,
        d: T,
        e: T,
        f: T,
        g: T,
        h: T,
    }
    type Wider = Wide<Wide<Wide<Wide<Wide<u8>>>>>;
    let lines = shape::<Wider>();
    // Eight to the power of five leaves, of which only a part is seen.
    let count = |end: &str| lines.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!((count(": u8") > 0, count(": anything") > 0), (false, true), "{}", count(""));
    assert!(count("") < 40_000, "{}", count(""));
    assert_eq!(Shape::of::<Wider>().id(), ShapeId::of::<Wider>());
}
