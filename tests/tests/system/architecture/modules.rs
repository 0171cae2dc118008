//! Which file of a crate names items of which other one, and the circles among
//! them.
//!
//! A name counts for the file that defines it, however many `use` lines lead
//! there. So a parent that only hands on what its children define does not
//! depend on them, and neither does one that only declares them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::tokens::{Token, tokens};

/// The modules of a crate, by their paths; that of the root is empty.
pub(super) struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

/// The names that each file takes from others, by their files.
pub(super) type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// A module with its own file, or within the file of its parent.
#[derive(Default)]
struct Module {
    file: PathBuf,
    /// The names that it defines.
    items: BTreeSet<String>,
    /// The names that it imports, as they are called here.
    uses: Vec<Use>,
    /// Paths in its code.
    paths: Vec<Vec<String>>,
    /// All words of its code outside of imports.
    words: BTreeSet<String>,
}

#[derive(Clone)]
struct Use {
    name: String,
    path: Vec<String>,
    is_public: bool,
    /// Whether it is at the top of its module, and not in a function.
    is_of_the_module: bool,
}

impl Crate {
    /// Reads the source below the folder of a `lib.rs`, without its tests.
    pub(super) fn read(source: &Path) -> Self {
        let mut found = Self { modules: BTreeMap::new() };
        found.add_file(source, &source.join("lib.rs"), Vec::new());
        found
    }

    fn add_file(&mut self, source: &Path, file: &Path, path: Vec<String>) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let relative = file.strip_prefix(source).expect("below the source").to_owned();
        for child in self.add_module(&relative, path.clone(), &tokens(&text)) {
            let child_path: Vec<_> = path.iter().chain([&child]).cloned().collect();
            let base = source.join(child_path.iter().collect::<PathBuf>());
            self.add_file(source, &base.with_extension("rs"), child_path);
        }
    }

    /// Adds a module and those within it; says which have files of their own.
    fn add_module(&mut self, file: &Path, path: Vec<String>, tokens: &[Token]) -> Vec<String> {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut files = Vec::new();
        let tokens = without_tests(tokens);
        let mut index = 0;
        while index < tokens.len() {
            let Some(word) = tokens[index].word() else {
                index += 1;
                continue;
            };
            let name = tokens.get(index + 1).and_then(|token| token.word()).map(str::to_owned);
            match (word, name) {
                ("mod", Some(name)) => match tokens.get(index + 2) {
                    Some(Token::Group('{', body)) => {
                        let inner = path.iter().cloned().chain([name]).collect();
                        let in_files = self.add_module(file, inner, body);
                        assert!(in_files.is_empty(), "{}: a file below a module in a file", file.display());
                        index += 2;
                    }
                    _ => files.push(name),
                },
                ("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union", Some(name)) => {
                    module.items.insert(name);
                }
                ("macro_rules", _) => {
                    module.items.extend(tokens.get(index + 2).and_then(|token| token.word()).map(str::to_owned))
                }
                _ => {}
            }
            index += 1;
        }
        module.scan(&tokens, true);
        self.modules.insert(path, module);
        files
    }

    /// Returns the file that defines what a path within a module leads to; `None` if another crate does.
    fn file_of(&self, from: &[String], path: &[String]) -> Option<&Path> {
        self.resolve(from, path, 0).map(|module| &*self.modules[&module].file)
    }

    /// Returns the module that defines what a path within a module leads to.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        // Modules that import everything of each other.
        if depth > 20 {
            return None;
        }
        let mut at = from.to_vec();
        let mut rest = path;
        let mut anchored = false;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                "crate" | "$crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            (rest, anchored) = (behind, true);
        }
        while let Some((name, behind)) = rest.split_first() {
            let module = &self.modules[&at];
            let child: Vec<String> = at.iter().chain([name]).cloned().collect();
            if self.modules.contains_key(&child) {
                (at, rest, anchored) = (child, behind, true);
            } else if module.items.contains(name) {
                return Some(at);
            } else if let Some(import) = module.import(name) {
                // A crate of that name.
                if import.path.first() == Some(name) && (import.path.len() == 1 || import.path == path) {
                    return None;
                }
                let full: Vec<String> = import.path.iter().chain(behind).cloned().collect();
                return self.resolve(&at, &full, depth + 1);
            } else if let Some(found) = self.behind_globs(&at, rest, depth) {
                return Some(found);
            } else {
                // Made by a macro of the module, if it is said to be there.
                return anchored.then_some(at);
            }
        }
        Some(at)
    }

    fn behind_globs(&self, at: &[String], rest: &[String], depth: usize) -> Option<Vec<String>> {
        let globs = self.modules[at].uses.iter().filter(|import| import.name == "*" && import.is_of_the_module);
        let modules = globs.filter_map(|import| self.resolve(at, &import.path, depth + 1));
        modules.filter(|module| module != at).find_map(|module| self.resolve(&module, rest, depth + 1))
    }

    /// Returns what each file names in others.
    pub(super) fn imports(&self) -> Imports {
        let mut all = Imports::new();
        for (path, module) in &self.modules {
            let is_used = |import: &&Use| !import.is_public || module.words.contains(&import.name);
            let imported = module.uses.iter().filter(is_used).map(|import| &import.path);
            for named in imported.chain(&module.paths) {
                if let Some(file) = self.file_of(path, named).filter(|file| **file != *module.file) {
                    let names = all.entry(module.file.clone()).or_default().entry(file.to_owned()).or_default();
                    names.insert(named.join("::"));
                }
            }
        }
        all
    }
}

impl Module {
    fn import(&self, name: &str) -> Option<&Use> {
        self.uses.iter().find(|import| import.is_of_the_module && import.name == name)
    }

    /// Collects imports, paths and words.
    fn scan(&mut self, tokens: &[&Token], is_top: bool) {
        let mut index = 0;
        while index < tokens.len() {
            let next = tokens.get(index + 1);
            match tokens[index] {
                // A module with its own file, which has been read.
                Token::Word(word) if is_top && word == "mod" => index += 3,
                // Where it is visible.
                Token::Word(word) if word == "pub" && next.is_some_and(|next| next.is_group('(')) => index += 2,
                // `use<'a>` in a type is not an import.
                Token::Word(word) if word == "use" && next.is_none_or(|next| !next.is('<')) => {
                    let before = index.checked_sub(1).map(|before| tokens[before]);
                    let is_public = before.is_some_and(|it| it.word() == Some("pub") || it.is_group('('));
                    let length = tokens[index..].iter().take_while(|token| !token.is(';')).count();
                    let mut found = Vec::new();
                    read_tree(&tokens[index + 1..index + length], &[], &mut found);
                    let uses = found.into_iter();
                    self.uses.extend(uses.map(|(name, path)| Use { name, path, is_public, is_of_the_module: is_top }));
                    index += length;
                }
                Token::Group(_, inner) => {
                    self.scan(&inner.iter().collect::<Vec<_>>(), false);
                    index += 1;
                }
                Token::Word(_) | Token::Mark(_) => {
                    let (path, length) = read_path(&tokens[index..]);
                    self.words.extend(path.iter().cloned());
                    self.paths.extend(Some(path).filter(|path| path.len() > 1));
                    index += length.max(1);
                }
            }
        }
    }
}

/// Returns the tokens of a module without its tests.
fn without_tests(tokens: &[Token]) -> Vec<&Token> {
    let mut kept: Vec<&Token> = Vec::new();
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        let is_test = is_test(token) && kept.last().is_some_and(|last| last.is('#'));
        kept.push(token);
        if is_test {
            // The item with the attribute.
            tokens.find(|token| token.is_group('{') || token.is(';'));
        }
    }
    kept
}

/// Returns whether it is the `[cfg(test)]` of an attribute.
fn is_test(token: &Token) -> bool {
    let Token::Group('[', attribute) = token else { return false };
    let [Token::Word(name), Token::Group('(', condition)] = &attribute[..] else { return false };
    name == "cfg" && matches!(&condition[..], [Token::Word(word)] if word == "test")
}

/// Reads the path that the tokens begin with; how many tokens it has.
fn read_path(tokens: &[&Token]) -> (Vec<String>, usize) {
    let is_mark = |index: usize, mark| tokens.get(index).is_some_and(|token| token.is(mark));
    let mut path = Vec::new();
    // `$crate` in a macro.
    let mut index = usize::from(is_mark(0, '$') && tokens.get(1).is_some_and(|next| next.word() == Some("crate")));
    while let Some(word) = tokens.get(index).and_then(|token| token.word()) {
        path.push(word.to_owned());
        index += 1;
        if !(is_mark(index, ':') && is_mark(index + 1, ':')) {
            break;
        }
        index += 2;
    }
    (path, index)
}

/// Reads a tree of imports: the names, and the paths behind them.
fn read_tree(tokens: &[&Token], before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    for tree in tokens.split(|token| token.is(',')).filter(|tree| !tree.is_empty()) {
        let (steps, length) = read_path(tree);
        let is_self = steps == ["self"] && !before.is_empty();
        let steps = if is_self { Vec::new() } else { steps };
        let path: Vec<String> = before.iter().cloned().chain(steps).collect();
        match tree.get(length) {
            Some(Token::Group(_, inner)) => read_tree(&inner.iter().collect::<Vec<_>>(), &path, found),
            Some(Token::Mark('*')) => found.push(("*".to_owned(), path)),
            Some(Token::Word(word)) if word == "as" => {
                let name = tree.get(length + 1).and_then(|token| token.word()).unwrap_or_default();
                found.push((name.to_owned(), path));
            }
            _ => found.push((path.last().cloned().unwrap_or_default(), path)),
        }
    }
}

/// Returns the groups of files that import each other, directly or through others.
pub(super) fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, all_reached_from(file, imports))).collect();
    let mut found: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, reachable) in &reached {
        let with = reachable.iter().filter(|other| reached.get(**other).is_some_and(|theirs| theirs.contains(file)));
        let circle: BTreeSet<PathBuf> = with.map(|other| (*other).clone()).collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn all_reached_from<'a>(file: &PathBuf, imports: &'a Imports) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&PathBuf> = imports.get(file).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports.get(next).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}
