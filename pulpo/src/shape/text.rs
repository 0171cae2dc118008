//! Writes a shape as text and reads it back: one line for each path, sorted.
//!
//! `body.items[].price: f64, or null, optional`

use std::fmt;

use serde_json::Value;

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

impl Shape {
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
            Kind::Recursive(path) => write!(f, "as {path}")?,
            Kind::Opaque => f.write_str("anything")?,
        }
        if self.strict {
            f.write_str(", no other fields")?;
        }
        for value in &self.not {
            write!(f, ", not {value}")?;
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
        for (index, example) in self.examples.iter().enumerate() {
            write!(f, "{}{example}", if index == 0 { ", such as " } else { " " })?;
        }
        Ok(())
    }
}

/// Reads one line of a shape.
#[cfg(feature = "cli")]
pub(crate) fn read_line(line: &str) -> Option<(String, Node)> {
    let mut end = 0;
    let mut quoted = false;
    for (index, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted || line[..index].ends_with('\\'),
            ':' if !quoted => break,
            _ => {}
        }
        end = index + c.len_utf8();
    }
    let (path, rest) = (line[..end].to_owned(), line[end..].strip_prefix(": ")?);
    let (rest, examples) = match rest.split_once(", such as ") {
        Some((rest, examples)) => {
            let examples: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(examples).into_iter().collect();
            (rest, examples.ok()?)
        }
        None => (rest, Vec::new()),
    };
    let mut parts = rest.split(", ");
    let kind = parts.next()?;
    let kind = if let Some(tagged) = kind.strip_prefix("object with ") {
        let (tag, variants) = tagged.split_once(": ")?;
        let name = |word: &str| Some(first_name(&format!(".{word}"))?.0);
        Kind::Tagged { tag: name(tag)?, variants: variants.split(" | ").map(name).collect::<Option<_>>()? }
    } else if let Some(path) = kind.strip_prefix("as ") {
        Kind::Recursive(path.to_owned())
    } else if let Some(len) = kind.strip_prefix("list of ") {
        Kind::Tuple(len.parse().ok()?)
    } else {
        match kind {
            "object" => Kind::Object,
            "map" => Kind::Map,
            "list" => Kind::List,
            "one of" => Kind::Enum,
            "anything" => Kind::Opaque,
            value if value.chars().all(|c| c.is_ascii_alphanumeric()) && !value.is_empty() => {
                Kind::Value(value.to_owned().into())
            }
            _ => return None,
        }
    };
    let mut node = Node { examples, ..Node::new(kind, false) };
    for part in parts {
        match part {
            "no other fields" => node.strict = true,
            "or null" => node.nullable = true,
            "optional" => node.optional = true,
            part if part.starts_with("not ") => node.not.push(serde_json::from_str(&part[4..]).ok()?),
            part => node.alias_of = Some(first_name(&format!(".{}", part.strip_prefix("another name of ")?))?.0),
        }
    }
    Some((path, node))
}
