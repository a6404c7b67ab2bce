//! nginx's configuration as `nginx -T` prints it -> directives, with what they include in its place.

use regex::Regex;

/// A directive, its words without quotation marks, and what its braces hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// What stands behind it.
    pub words: Vec<String>,
    /// What is between its braces.
    pub block: Vec<Directive>,
    /// `FILE:LINE`
    pub place: String,
}

/// All directives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// The main file's path.
    pub path: String,
    /// The directives outside of all braces.
    pub main: Vec<Directive>,
}

/// Files that include one another end here; nginx itself refuses a circle.
const DEEPEST: usize = 32;
/// What nginx writes before each file.
const HEAD: &str = "# configuration file ";

impl Conf {
    /// Reads what `nginx -T` printed. None if there is no file in it.
    pub fn read(dump: &str) -> Option<Conf> {
        let mut files: Vec<(&str, String)> = Vec::new();
        for line in dump.lines() {
            match line.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(':')) {
                Some(path) => files.push((path, String::new())),
                None => {
                    let Some((_, text)) = files.last_mut() else { continue };
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        let path = files.first()?.0;
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let mut reader = Reader { files: &files, dir, depth: 0 };
        Some(Conf { path: path.to_owned(), main: reader.file(0) })
    }

    /// Each directive of a name, wherever it stands.
    pub fn all<'a>(&'a self, name: &str) -> Vec<&'a Directive> {
        within(&self.main, name)
    }

    /// The first word of the first directive of a name.
    pub fn word(&self, name: &str) -> Option<&str> {
        self.all(name).first()?.words.first().map(String::as_str)
    }
}

/// Each directive of a name among these and in their braces.
pub fn within<'a>(directives: &'a [Directive], name: &str) -> Vec<&'a Directive> {
    let mut found = Vec::new();
    for directive in directives {
        if directive.name == name {
            found.push(directive);
        }
        found.extend(within(&directive.block, name));
    }
    found
}

/// Files by their paths.
struct Reader<'a> {
    files: &'a [(&'a str, String)],
    /// What relative includes begin in.
    dir: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn file(&mut self, no: usize) -> Vec<Directive> {
        let Some((path, text)) = self.files.get(no) else { return Vec::new() };
        let mut tokens = Tokens { rest: text, line: 1 };
        self.block(&mut tokens, path)
    }

    fn block(&mut self, tokens: &mut Tokens<'_>, path: &str) -> Vec<Directive> {
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut first = 0;
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        first = tokens.line;
                    }
                    words.push(word);
                }
                Token::End if words.first().is_some_and(|word| word == "include") => {
                    words.drain(..).skip(1).for_each(|what| {
                        directives.extend(self.included(&what));
                    });
                }
                Token::End | Token::Open => {
                    let open = token == Token::Open;
                    let block = if open { self.block(tokens, path) } else { Vec::new() };
                    if !words.is_empty() {
                        let name = words.remove(0);
                        let words = std::mem::take(&mut words);
                        let place = format!("{path}:{first}");
                        directives.push(Directive { name, words, block, place });
                    }
                }
                Token::Close => break,
            }
        }
        directives
    }

    fn included(&mut self, pattern: &str) -> Vec<Directive> {
        if self.depth == DEEPEST {
            return Vec::new();
        }
        let full = match pattern.starts_with('/') {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", self.dir),
        };
        let glob = regex::escape(&full).replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
        let glob = glob.replace(r"\[", "[").replace(r"\]", "]");
        let Ok(glob) = Regex::new(&format!("^{glob}$")) else { return Vec::new() };
        self.depth += 1;
        let matching = (1..self.files.len()).filter(|no| glob.is_match(self.files[*no].0));
        let found = matching.collect::<Vec<_>>().into_iter().flat_map(|no| self.file(no)).collect();
        self.depth -= 1;
        found
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Text as nginx cuts it up.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            match self.take()? {
                ';' => return Some(Token::End),
                '{' => return Some(Token::Open),
                '}' => return Some(Token::Close),
                '#' => while self.take()? != '\n' {},
                quote @ ('"' | '\'') => return self.word(String::new(), Some(quote)),
                white if white.is_whitespace() => {}
                '\\' => {
                    let escaped = self.escaped()?;
                    return self.word(escaped, None);
                }
                first => return self.word(first.to_string(), None),
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = &self.rest[first.len_utf8()..];
        self.line += usize::from(first == '\n');
        Some(first)
    }

    fn word(&mut self, mut word: String, quote: Option<char>) -> Option<Token> {
        while let Some(next) = self.rest.chars().next() {
            match (next, quote) {
                ('\\', _) => {
                    self.take();
                    word += &self.escaped()?;
                    continue;
                }
                (end, Some(quote)) if end == quote => {
                    self.take();
                    break;
                }
                (_, Some(_)) => {}
                (';', None) => break,
                ('{', None) if !word.ends_with('$') => break,
                (white, None) if white.is_whitespace() => break,
                _ => {}
            }
            word.extend(self.take());
        }
        Some(Token::Word(word))
    }

    /// What a backslash and the character behind it mean.
    fn escaped(&mut self) -> Option<String> {
        Some(match self.take()? {
            quote @ ('"' | '\'' | '\\' | ' ' | ';' | '{' | '}') => quote.to_string(),
            't' => "\t".to_owned(),
            'r' => "\r".to_owned(),
            'n' => "\n".to_owned(),
            other => format!("\\{other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_with_what_it_includes_in_its_place() {
        let dump = "nginx: ok\n# configuration file /etc/n/nginx.conf:\nuser www; # a comment; {\nhttp {\n    include conf.d/*.conf;\n    \
            map $a $b { ~^\"x;y\" 1; default \"a b\"; }\n    set x${b}y;\n}\n\n# configuration file /etc/n/conf.d/a.conf:\n\
            server { listen 80;\n location = /sn/ { sparkngin_root_loc; } }\n# configuration file /etc/n/other/b.conf:\nwrong 1;\n";
        let conf = Conf::read(dump).unwrap();
        assert_eq!((conf.path.as_str(), conf.word("user")), ("/etc/n/nginx.conf", Some("www")));
        assert_eq!(conf.word("set"), Some("x${b}y"));
        assert_eq!(conf.all("default")[0].words, ["a b"]);
        assert!(conf.all("wrong").is_empty());
        let http = &conf.main[1];
        let server = &http.block[0];
        assert_eq!(
            (server.name.as_str(), server.place.as_str()),
            ("server", "/etc/n/conf.d/a.conf:1")
        );
        assert_eq!(server.block[1].words, ["=", "/sn/"]);
        assert_eq!(server.block[1].block[0].name, "sparkngin_root_loc");
        assert_eq!(Conf::read("nothing"), None);
    }

    #[test]
    fn what_includes_itself_ends_and_what_is_cut_off_is_read_so_far() {
        let conf = Conf::read("# configuration file /a:\nx 1;\ninclude /b;\n# configuration file /b:\ninclude /b; y \"2").unwrap();
        assert_eq!(conf.word("x"), Some("1"));
        assert!(conf.all("y").is_empty());
    }
}
