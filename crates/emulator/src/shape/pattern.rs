//! Makes a string that matches a simple regular expression. Refuses look-around, back-references and Unicode
//! classes: for them it makes nothing.

use std::iter::Peekable;
use std::str::Chars;

use crate::seed::Draw;

/// How many more repetitions than the least are tried to reach a length.
const MORE: usize = 128;

#[derive(Debug)]
enum Node {
    /// One of these characters.
    One(Vec<char>),
    /// One of these sequences.
    Any(Vec<Vec<Repeat>>),
}

#[derive(Debug)]
struct Repeat {
    node: Node,
    least: usize,
    most: usize,
}

/// A string between `least` and `most` characters that matches, or `None` when none was found.
pub(super) fn matching(pattern: &str, least: usize, most: usize, draw: &mut Draw) -> Option<String> {
    let mut letters = pattern.chars().peekable();
    let alternatives = parse(&mut letters, 0)?;
    if letters.next().is_some() {
        return None;
    }
    let start = draw.next();
    (0..=MORE).find_map(|more| {
        (0..4_u64).find_map(|turn| {
            let mut text = String::new();
            write(&alternatives, more, &mut text, &mut Draw::new(start.wrapping_add(turn)));
            (least..=most).contains(&text.chars().count()).then_some(text)
        })
    })
}

fn write(alternatives: &[Vec<Repeat>], more: usize, text: &mut String, draw: &mut Draw) {
    let Some(sequence) = draw.pick(alternatives) else { return };
    for repeat in sequence {
        for _ in 0..repeat.most.min(repeat.least + more) {
            match &repeat.node {
                Node::One(letters) => text.extend(draw.pick(letters)),
                Node::Any(inner) => write(inner, more, text, draw),
            }
        }
    }
}

fn parse(letters: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Vec<Vec<Repeat>>> {
    if depth > 16 {
        return None;
    }
    let mut alternatives = vec![Vec::new()];
    while let Some(letter) = letters.peek().copied() {
        if letter == ')' {
            break;
        }
        letters.next();
        let node = match letter {
            '|' => {
                alternatives.push(Vec::new());
                continue;
            }
            '^' | '$' => continue,
            '(' => group(letters, depth)?,
            '[' => Node::One(class(letters)?),
            '.' => Node::One(('a'..='z').collect()),
            '\\' => Node::One(escape(letters.next()?)?),
            '*' | '+' | '?' | '{' => return None,
            other => Node::One(vec![other]),
        };
        let (least, most) = quantity(letters)?;
        alternatives.last_mut()?.push(Repeat { node, least, most });
    }
    Some(alternatives)
}

fn group(letters: &mut Peekable<Chars<'_>>, depth: usize) -> Option<Node> {
    if letters.next_if_eq(&'?').is_some() {
        match letters.next()? {
            ':' => {}
            '<' if letters.peek().is_some_and(|letter| letter.is_alphabetic()) => {
                letters.by_ref().find(|letter| *letter == '>')?;
            }
            _ => return None,
        }
    }
    let inner = parse(letters, depth + 1)?;
    letters.next_if_eq(&')')?;
    Some(Node::Any(inner))
}

fn quantity(letters: &mut Peekable<Chars<'_>>) -> Option<(usize, usize)> {
    let bounds = match letters.peek() {
        Some('*') => (0, usize::MAX),
        Some('+') => (1, usize::MAX),
        Some('?') => (0, 1),
        Some('{') => {
            letters.next();
            let inside: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
            let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
            let least = least.trim().parse().ok()?;
            let most = if most.trim().is_empty() { usize::MAX } else { most.trim().parse().ok()? };
            letters.next_if_eq(&'?');
            return (least <= most && least <= 10_000).then_some((least, most));
        }
        _ => return Some((1, 1)),
    };
    letters.next();
    letters.next_if_eq(&'?');
    Some(bounds)
}

fn escape(letter: char) -> Option<Vec<char>> {
    match letter {
        'd' => Some(('0'..='9').collect()),
        'w' => Some(('a'..='z').chain('0'..='9').chain(['_']).collect()),
        's' => Some(vec![' ']),
        'D' | 'S' => Some(('a'..='z').collect()),
        'W' => Some(vec![' ', '-', '.']),
        'n' => Some(vec!['\n']),
        't' => Some(vec!['\t']),
        other if other.is_alphanumeric() => None,
        other => Some(vec![other]),
    }
}

/// The characters of a class; of a negated one, printable ASCII that is not in it.
fn class(letters: &mut Peekable<Chars<'_>>) -> Option<Vec<char>> {
    let negated = letters.next_if_eq(&'^').is_some();
    let mut listed: Vec<char> = Vec::new();
    loop {
        let first = match letters.next()? {
            ']' => break,
            '\\' => {
                let mut set = escape(letters.next()?)?;
                if set.len() != 1 {
                    listed.append(&mut set);
                    continue;
                }
                set.pop()?
            }
            other => other,
        };
        let mut ahead = letters.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|letter| *letter != ']') {
            letters.next();
            let last = match letters.next()? {
                '\\' => escape(letters.next()?)?.pop()?,
                other => other,
            };
            // A wide range such as 가-힣 is represented by its beginning; a negated one by all of its ASCII.
            listed.extend((first..=last).take(128));
        } else {
            listed.push(first);
        }
    }
    if negated {
        listed = ('a'..='z').chain('A'..='Z').chain('0'..='9').filter(|letter| !listed.contains(letter)).collect();
    }
    (!listed.is_empty()).then_some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_patterns_are_matched_within_their_length() {
        let made = |pattern| matching(pattern, 0, usize::MAX, &mut Draw::new(5)).unwrap();
        let slug = made("^[a-z0-9_-]{3,8}$");
        assert!((3..=8).contains(&slug.len()), "{slug}");
        assert!(made(r"^\d{4}-\d{2}$").as_bytes().get(4) == Some(&b'-'));
        assert!(["가", "나"].contains(&made("^(가|나)$").as_str()));
        assert!(made("[가-힣]+").chars().all(|letter| ('가'..='힣').contains(&letter)));
        assert_eq!(matching("^a+$", 9, 9, &mut Draw::new(1)).unwrap(), "aaaaaaaaa");
        assert!(matching("(?=x)y", 0, 9, &mut Draw::new(1)).is_none());
    }
}
