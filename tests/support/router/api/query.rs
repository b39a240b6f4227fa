//! `?` words: a stack of yes and no (manual, "API", queries).

use super::menus::Row;
use super::wire::Sentence;

/// Whether a row answers the sentence's queries.
pub(super) fn fits(row: &Row, sentence: &Sentence) -> bool {
    let mut stack: Vec<bool> = Vec::new();
    for query in sentence.words().filter_map(|word| word.strip_prefix('?')) {
        match query.strip_prefix('#') {
            Some(operations) => operate(&mut stack, operations),
            None => stack.push(holds(row, query)),
        }
    }
    stack.iter().all(|yes| *yes)
}

fn holds(row: &Row, query: &str) -> bool {
    if let Some(name) = query.strip_prefix('-') {
        return row.value(name).is_none();
    }
    let (compare, rest) = match query.split_at_checked(1) {
        Some(("<" | ">" | "=", rest)) => query.split_at(query.len() - rest.len()),
        Some(_) | None => ("=", query),
    };
    let Some((name, wanted)) = rest.split_once('=') else {
        return row.value(rest).is_some();
    };
    let Some(held) = row.value(name) else {
        return false;
    };
    let ordered = match (held.parse::<u64>(), wanted.parse::<u64>()) {
        (Ok(held), Ok(wanted)) => held.cmp(&wanted),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => held.cmp(wanted),
    };
    match compare {
        "<" => ordered.is_lt(),
        ">" => ordered.is_gt(),
        _ => ordered.is_eq(), // "=", as above
    }
}

/// `!` not, `&` and, `|` or. Indices are for people with larger questions.
fn operate(stack: &mut Vec<bool>, operations: &str) {
    for operation in operations.chars() {
        let last = stack.pop().unwrap_or(true);
        match operation {
            '!' => stack.push(!last),
            '&' => {
                let before = stack.pop().unwrap_or(true);
                stack.push(before && last);
            }
            '|' => {
                let before = stack.pop().unwrap_or(false);
                stack.push(before || last);
            }
            _ => stack.push(last),
        }
    }
}
