//! Writes a shape as text and reads it back: one line for each path, sorted.
//!
//! `body.items[].price: f64, or null, optional`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

#[cfg(feature = "cli")]
use super::node::{LONG, MOST_PARTS, MOST_STEPS, VALUES, leads_to};
use super::{Kind, Node, Shape};

/// Writes a step to the field of this name, in quotes if it could be misread.
pub(super) fn field(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
    if !name.is_empty() && name.chars().all(plain) { format!(".{name}") } else { format!(".{}", Value::from(name)) }
}

/// Returns the name in the first step of a path after a dot, and the rest.
fn first_name(steps: &str) -> Option<(String, &str)> {
    let rest = steps.strip_prefix('.')?;
    if rest.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let name = values.next()?.ok()?;
        return Some((name, &rest[values.byte_offset()..]));
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    Some((rest[..end].to_owned(), &rest[end..]))
}

/// Iterates over the characters that are outside quotes, each with its position.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().filter(move |(_, c)| {
        let was_quoted = quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !was_quoted
    })
}

/// Splits a path before its last step.
pub(super) fn last_step(path: &str) -> Option<(&str, &str)> {
    let (at, _) = outside_quotes(path).filter(|(_, c)| matches!(c, '.' | '[')).last()?;
    Some(path.split_at(at))
}

/// Writes JSON with sorted keys, in whatever order serde_json keeps them: a program may turn on `preserve_order`. The
/// keys in `first` come before the others.
pub(super) fn written(value: &Value, first: &BTreeSet<String>) -> String {
    let mut text = String::new();
    write(value, first, &mut text);
    text
}

fn write(value: &Value, first: &BTreeSet<String>, text: &mut String) {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> =
                object.iter().map(|(key, value)| ((!first.contains(key), key), value)).collect();
            text.push('{');
            for (index, ((_, key), value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, first, text);
            }
            text.push('}');
        }
        Value::Array(parts) => {
            text.push('[');
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(part, first, text);
            }
            text.push(']');
        }
        value => text.push_str(&value.to_string()),
    }
}

/// Writes a value of a node.
fn sorted(value: &Value) -> String {
    written(value, &BTreeSet::new())
}

impl Shape {
    /// Returns a path whose line cannot be right beside the others, with the fault; `None` if pulpo may have written all
    /// of them.
    #[cfg(feature = "cli")]
    pub(crate) fn fault(&self) -> Option<(String, String)> {
        self.0.iter().find_map(|(path, node)| {
            let fault = self.fault_at(path, node)?;
            Some((path.clone(), fault))
        })
    }

    #[cfg(feature = "cli")]
    fn fault_at(&self, path: &str, node: &Node) -> Option<String> {
        if let Some((above, step)) = last_step(path) {
            let Some(node_above) = self.0.get(above) else {
                return Some(format!("expected a line for `{above}` beside the one for `{path}`, got none"));
            };
            if !has_step(&node_above.kind, step) {
                return Some(format!("expected no line for `{path}` beside `{above}: {node_above}`"));
            }
            if let Some(name) = &node.alias_of {
                let own = self.0.get(&format!("{above}{}", field(name)));
                if own.is_none_or(|own| own.alias_of.is_some()) {
                    return Some(format!("expected a line for the field `{name}`, of which `{path}` is another name"));
                }
            }
        }
        let parts = match &node.kind {
            Kind::List => Some("[]"),
            Kind::Map => Some(".*"),
            Kind::Tuple(1..) => Some("[0]"),
            _ => None,
        };
        if let Some(part) = parts.map(|part| format!("{path}{part}")).filter(|part| !self.0.contains_key(part)) {
            return Some(format!("expected a line for `{part}` below the one for `{path}`, got none"));
        }
        match &node.kind {
            // A type that is an option of itself reads `null` alone.
            Kind::Recursive(above) if above == path && node.nullable => None,
            Kind::Recursive(above) => {
                let is_type = self.0.get(above).is_some_and(|node| !matches!(node.kind, Kind::Recursive(_)));
                let is_above = above != path && leads_to(above, path) && is_type;
                (!is_above).then(|| format!("expected a path above `{path}` that says what is read, got `as {above}`"))
            }
            Kind::Enum | Kind::Adjacent { .. } if self.fields(path).is_empty() && !self.is_unseen(path) => {
                (!node.nullable).then(|| format!("expected the variants of `{path}` in lines of their own, got none"))
            }
            _ => None,
        }
    }

    /// Returns the paths of the named parts of a node, with their names.
    pub(super) fn fields(&self, path: &str) -> Vec<(String, String)> {
        let below = self.0.range(path.to_owned()..).take_while(|(below, _)| below.starts_with(path));
        below
            .filter_map(|(below, _)| match first_name(&below[path.len()..])? {
                (name, "") => Some((name, below.clone())),
                _ => None,
            })
            .collect()
    }
}

/// Returns whether a value of this kind has parts at such a step.
#[cfg(feature = "cli")]
fn has_step(kind: &Kind, step: &str) -> bool {
    match kind {
        Kind::Object | Kind::Enum | Kind::Adjacent { .. } => step.starts_with('.') && step != ".*",
        Kind::Map => step == ".*",
        Kind::List => step == "[]",
        Kind::Tuple(len) => {
            let index = step.strip_prefix('[').and_then(|index| index.strip_suffix(']'));
            index.and_then(|index| index.parse().ok()).is_some_and(|index: usize| index < *len)
        }
        _ => false,
    }
}

/// Writes the name of a variant in a list, in quotes unless it is a plain word.
fn word(name: &str) -> String {
    field(name)[1..].to_owned()
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, node)| writeln!(f, "{path}: {node}"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Value(name) => f.write_str(name)?,
            Kind::Object => f.write_str("object")?,
            Kind::Map => f.write_str("map")?,
            Kind::List => f.write_str("list")?,
            Kind::Tuple(len) => write!(f, "list of {len}")?,
            Kind::Enum => f.write_str("one of")?,
            Kind::Tagged { tag, variants } => {
                let variants: Vec<_> = variants.iter().map(|name| word(name)).collect();
                write!(f, "object with {}: {}", word(tag), variants.join(" | "))?;
            }
            Kind::Adjacent { tag, content } => write!(f, "variant in {} and content in {}", word(tag), word(content))?,
            Kind::Recursive(path) => write!(f, "as {path}")?,
            Kind::Opaque => f.write_str("anything")?,
        }
        if self.strict {
            f.write_str(", no other fields")?;
        }
        if let Some(most) = self.most {
            write!(f, ", at most {most} {}", unit(&self.kind))?;
        }
        for value in &self.not {
            write!(f, ", not {}", sorted(value))?;
        }
        if self.nullable {
            f.write_str(", or null")?;
        }
        if self.optional {
            f.write_str(", optional")?;
        }
        if let Some(name) = &self.alias_of {
            write!(f, ", another name of {}", word(name))?;
        }
        if self.unseen {
            f.write_str(", unseen")?;
        }
        for (index, example) in self.examples.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { ", such as " } else { " " }, sorted(example))?;
        }
        Ok(())
    }
}

/// Returns the word for what the length of such a value counts.
fn unit(kind: &Kind) -> &'static str {
    match kind {
        Kind::Map => "entries",
        Kind::List => "parts",
        _ => "bytes",
    }
}

/// Splits a text at a separator that is outside quotes.
#[cfg(feature = "cli")]
fn split_outside<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, _) in outside_quotes(text) {
        if at >= start && text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Reads one line of a shape.
#[cfg(feature = "cli")]
pub(crate) fn read_line(line: &str) -> Option<(String, Node)> {
    let path = *split_outside(line, ": ").first().filter(|path| is_path(path))?;
    let mut parts = split_outside(line[path.len()..].strip_prefix(": ")?, ", ").into_iter();
    let mut node = Node::new(read_kind(parts.next()?)?, false);
    for part in parts {
        match part {
            "no other fields" => node.strict = true,
            "or null" => node.nullable = true,
            "optional" => node.optional = true,
            "unseen" => node.unseen = true,
            part => match part.split_once(' ')? {
                ("at", length) => {
                    let (most, counted) = length.strip_prefix("most ")?.split_once(' ')?;
                    let is_known = |most: &usize| *most <= LONG && counted == unit(&node.kind);
                    node.most = Some(most.parse().ok().filter(is_known)?);
                }
                ("not", value) => node.not.push(serde_json::from_str(value).ok()?),
                ("such", examples) => {
                    let examples = serde_json::Deserializer::from_str(examples.strip_prefix("as ")?).into_iter();
                    node.examples = examples.collect::<Result<_, _>>().ok()?;
                }
                _ => node.alias_of = Some(read_word(part.strip_prefix("another name of ")?)?),
            },
        }
    }
    Some((path.to_owned(), node))
}

/// Returns whether a text is a path as a shape has it.
#[cfg(feature = "cli")]
fn is_path(text: &str) -> bool {
    let mut rest = text.strip_prefix("body");
    // The parts of what is as deep as a shape goes are listed too.
    for _ in 0..=MOST_STEPS {
        rest = match rest {
            Some(steps) if !steps.is_empty() => behind_step(steps),
            rest => return rest.is_some(),
        };
    }
    rest == Some("")
}

/// Returns the steps behind the first one.
#[cfg(feature = "cli")]
fn behind_step(steps: &str) -> Option<&str> {
    if let Some(behind) = steps.strip_prefix(".*") {
        return Some(behind);
    }
    if let Some(index) = steps.strip_prefix('[') {
        let (index, behind) = index.split_once(']')?;
        return index.bytes().all(|byte| byte.is_ascii_digit()).then_some(behind);
    }
    let (name, behind) = first_name(steps)?;
    (steps.strip_suffix(behind) == Some(field(&name).as_str())).then_some(behind)
}

/// Reads a name that [`word`] has written.
#[cfg(feature = "cli")]
fn read_word(word: &str) -> Option<String> {
    let word = format!(".{word}");
    first_name(&word).and_then(|(name, rest)| rest.is_empty().then_some(name))
}

#[cfg(feature = "cli")]
fn read_kind(kind: &str) -> Option<Kind> {
    if let Some(tagged) = kind.strip_prefix("object with ") {
        let [tag, variants] = split_outside(tagged, ": ")[..] else { return None };
        let variants = split_outside(variants, " | ").into_iter().map(read_word).collect::<Option<_>>()?;
        return Some(Kind::Tagged { tag: read_word(tag)?, variants });
    }
    if let Some(adjacent) = kind.strip_prefix("variant in ") {
        let [tag, content] = split_outside(adjacent, " and content in ")[..] else { return None };
        return Some(Kind::Adjacent { tag: read_word(tag)?, content: read_word(content)? });
    }
    if let Some(path) = kind.strip_prefix("as ") {
        return is_path(path).then(|| Kind::Recursive(path.to_owned()));
    }
    if let Some(len) = kind.strip_prefix("list of ") {
        return len.parse().ok().filter(|len| *len <= MOST_PARTS).map(Kind::Tuple);
    }
    Some(match kind {
        "object" => Kind::Object,
        "map" => Kind::Map,
        "list" => Kind::List,
        "one of" => Kind::Enum,
        "anything" => Kind::Opaque,
        value => Kind::Value((*VALUES.iter().find(|known| **known == value)?).into()),
    })
}

#[cfg(all(test, feature = "cli"))]
mod tests;
