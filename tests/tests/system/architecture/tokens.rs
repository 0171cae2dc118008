//! Splits source text into the tokens that matter for what it names: words,
//! marks and groups. Comments and literals are left out.

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Mark(char),
    /// The tokens between two brackets, and the first bracket.
    Group(char, Vec<Token>),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn is(&self, mark: char) -> bool {
        *self == Self::Mark(mark)
    }

    pub(super) fn is_group(&self, open: char) -> bool {
        matches!(self, Self::Group(bracket, _) if *bracket == open)
    }
}

/// Returns the tokens of a text that compiles.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    let mut open = vec![('\0', Vec::new())];
    while at < chars.len() {
        let length = skipped(&chars[at..]);
        if length > 0 {
            at += length;
            continue;
        }
        let char = chars[at];
        let token = match char {
            '(' | '[' | '{' => {
                open.push((char, Vec::new()));
                None
            }
            ')' | ']' | '}' => {
                let (bracket, inner) = open.pop().expect("balanced");
                Some(Token::Group(bracket, inner))
            }
            char if is_of_word(char) => {
                let raw = if chars[at..].starts_with(&['r', '#']) { 2 } else { 0 };
                let word: String = chars[at + raw..].iter().take_while(|char| is_of_word(**char)).collect();
                at += raw + word.chars().count() - 1;
                // A number names nothing.
                (!word.starts_with(|char: char| char.is_ascii_digit())).then_some(Token::Word(word))
            }
            mark => Some(Token::Mark(mark)),
        };
        open.last_mut().expect("balanced").1.extend(token);
        at += 1;
    }
    assert_eq!(open.len(), 1, "balanced");
    open.pop().expect("the text").1
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Returns how many characters at the beginning are blank, a comment, a text or a character.
fn skipped(chars: &[char]) -> usize {
    let starts_with = |text: &str| text.chars().enumerate().all(|(index, char)| chars.get(index) == Some(&char));
    if chars[0].is_whitespace() {
        return 1;
    }
    if starts_with("//") {
        return chars.iter().take_while(|char| **char != '\n').count();
    }
    if starts_with("/*") {
        let mut depth = 0;
        for index in 0..chars.len() {
            match (chars[index], chars.get(index + 1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return index + 2;
            }
        }
    }
    if starts_with("'") {
        // `'a` is a lifetime unless it is closed.
        return match (chars.get(1), chars.get(2)) {
            (Some('\\'), _) => 3 + chars[3..].iter().take_while(|char| **char != '\'').count() + 1,
            (_, Some('\'')) => 3,
            _ => 1 + chars[1..].iter().take_while(|char| is_of_word(**char)).count(),
        };
    }
    if starts_with("b'") {
        return 1 + skipped(&chars[1..]);
    }
    let prefix = chars.iter().take_while(|char| matches!(char, 'b' | 'c' | 'r')).count();
    let hashes = chars[prefix..].iter().take_while(|char| **char == '#').count();
    if prefix > 2 || chars.get(prefix + hashes) != Some(&'"') {
        return 0;
    }
    let start = prefix + hashes + 1;
    if chars[..prefix].contains(&'r') {
        let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let length = chars[start..].windows(end.len()).take_while(|window| *window != end).count();
        return start + length + end.len();
    }
    let mut index = start;
    while chars[index] != '"' {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}
