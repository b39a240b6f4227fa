//! The rows of a list, as its route answers it in JSON, for a table. Pure.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// How deep what stands in a row is taken apart.
const DEEPEST: usize = 3;
/// The column that says which of several lists in one answer a row is of.
const LIST: &str = "list";

/// An object's fields in their order, each as it was written: an amount never becomes a float.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Rows with named cells; columns stand in the order in which they were first seen.
#[derive(Default)]
pub struct Table {
    columns: Vec<String>,
    places: HashMap<String, usize>,
    rows: Vec<Vec<String>>,
    /// Of the rows that have one, by the list they are of.
    ids: HashSet<(String, String)>,
}

/// A page of a list.
pub struct Page {
    /// The rows of each list in it, by its name; one without a name is the whole answer.
    lists: Vec<(String, Vec<Box<RawValue>>)>,
    /// How many rows all pages have together, where it says that.
    pub total: Option<usize>,
}

impl Page {
    /// Reads an answer: a list, or an object with lists of objects in it. `None` when it is neither.
    pub fn read(answer: &[u8]) -> Option<Page> {
        if let Ok(rows) = serde_json::from_slice::<Vec<Box<RawValue>>>(answer) {
            let objects = rows.iter().all(|row| is_object(row));
            return objects.then(|| Page {
                lists: vec![(String::new(), rows)],
                total: None,
            });
        }
        let Fields(fields) = serde_json::from_slice(answer).ok()?;
        let mut page = Page {
            lists: Vec::new(),
            total: None,
        };
        // Of a report, a total is an amount.
        let is_paged = fields.iter().any(|(name, _)| name == "page");
        for (name, value) in fields {
            if name == "total" && is_paged {
                page.total = serde_json::from_str(value.get()).ok();
            }
            if let Ok(rows) = serde_json::from_str::<Vec<Box<RawValue>>>(value.get())
                && rows.iter().all(|row| is_object(row))
            {
                page.lists.push((name, rows));
            }
        }
        (!page.lists.is_empty()).then_some(page)
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// The first row, as it was written.
    pub fn first(&self) -> Option<&str> {
        let mut rows = self.lists.iter().flat_map(|(_, rows)| rows);
        rows.next().map(|row| row.get())
    }
}

fn id_of(row: &RawValue) -> Option<String> {
    let Fields(fields) = serde_json::from_str(row.get()).ok()?;
    let (_, id) = fields.into_iter().find(|(name, _)| name == "id")?;
    Some(id.get().to_owned())
}

fn is_object(value: &RawValue) -> bool {
    value.get().trim_start().starts_with('{')
}

impl Table {
    /// Adds the rows of a page. One that stood on a page before was pushed down by others that came meanwhile.
    pub fn add(&mut self, page: &Page) {
        let several = page.lists.len() > 1;
        let mut seen = Vec::new();
        for (name, rows) in &page.lists {
            for row in rows {
                if let Some(id) = id_of(row) {
                    let id = (name.clone(), id);
                    if self.ids.contains(&id) {
                        continue;
                    }
                    seen.push(id);
                }
                let mut cells = Vec::new();
                if several {
                    self.put(&mut cells, LIST, name.clone());
                }
                self.take_apart(&mut cells, "", row, DEEPEST);
                self.rows.push(cells);
            }
        }
        self.ids.extend(seen);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The columns' names.
    pub fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).collect()
    }

    /// Every row with as many cells as there are columns.
    pub fn rows(mut self) -> impl Iterator<Item = Vec<String>> {
        let width = self.columns.len();
        std::mem::take(&mut self.rows)
            .into_iter()
            .map(move |mut cells| {
                cells.resize(width, String::new());
                cells
            })
    }

    fn take_apart(&mut self, cells: &mut Vec<String>, name: &str, value: &RawValue, depth: usize) {
        let text = value.get().trim();
        if depth > 0
            && text.starts_with('{')
            && let Ok(Fields(fields)) = serde_json::from_str(text)
        {
            for (inner, value) in fields {
                let name = match name {
                    "" => inner,
                    _ => format!("{name}.{inner}"),
                };
                self.take_apart(cells, &name, &value, depth - 1);
            }
            return;
        }
        self.put(cells, name, cell(text));
    }

    fn put(&mut self, cells: &mut Vec<String>, column: &str, cell: String) {
        let place = match self.places.get(column) {
            Some(place) => *place,
            None => {
                let place = self.columns.len();
                self.columns.push(column.to_owned());
                self.places.insert(column.to_owned(), place);
                place
            }
        };
        if cells.len() <= place {
            cells.resize(place + 1, String::new());
        }
        cells[place] = cell;
    }
}

/// What a value is in a cell: a text as it is, nothing for `null`, the members of a plain list with spaces between.
fn cell(text: &str) -> String {
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).unwrap_or_default(),
        Some(b'n') => String::new(),
        Some(b'[') => match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Ok(members) if members.iter().all(|member| !is_object(member)) => {
                let cells = members.iter().map(|member| cell(member.get().trim()));
                cells.collect::<Vec<String>>().join(" ")
            }
            Ok(_) | Err(_) => text.to_owned(),
        },
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn table(pages: &[&str]) -> (Vec<String>, Vec<Vec<String>>) {
        let mut table = Table::default();
        for page in pages {
            table.add(&Page::read(page.as_bytes()).unwrap());
        }
        let columns = table.columns.clone();
        (columns, table.rows().collect())
    }

    #[test]
    fn columns_stand_in_their_order_and_amounts_are_as_they_were() {
        let (columns, rows) = table(&[
            r#"{"total":3,"page":1,"items":[{"id":"1","amount":10.10,"who":{"name":"A, \"B\"","tags":["x","y"]},"paid":null}]}"#,
            r#"{"items":[{"id":"2","amount":90071992547409.93,"who":null,"more":true}],"total":3}"#,
        ]);
        assert_eq!(
            columns,
            [
                "id", "amount", "who.name", "who.tags", "paid", "who", "more"
            ]
        );
        assert_eq!(rows[0], ["1", "10.10", "A, \"B\"", "x y", "", "", ""]);
        assert_eq!(rows[1], ["2", "90071992547409.93", "", "", "", "", "true"]);
    }

    #[test]
    fn a_row_that_was_pushed_to_the_next_page_is_there_once() {
        let (_, rows) = table(&[
            r#"{"items":[{"id":"3","n":1},{"id":"2","n":1}],"total":3,"page":1}"#,
            r#"{"items":[{"id":"2","n":2},{"id":"1","n":1}],"total":4,"page":2}"#,
        ]);
        assert_eq!(rows, [["3", "1"], ["2", "1"], ["1", "1"]]);
        // What has no id may be there twice, and so may one id in one answer.
        let (_, rows) = table(&[r#"[{"n":1}]"#, r#"[{"n":1}]"#]);
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn a_total_of_a_report_is_no_count_of_rows() {
        let total = |answer: &str| Page::read(answer.as_bytes()).unwrap().total;
        assert_eq!(total(r#"{"items":[],"total":1500}"#), None);
        assert_eq!(total(r#"{"items":[],"total":1500,"page":1}"#), Some(1500));
    }

    #[test]
    fn several_lists_say_which_a_row_is_of() {
        let (columns, rows) = table(&[
            r#"{"revenue":[{"code":"4000"}],"expenses":[{"code":"5000"}],"net":7,"names":["x"]}"#,
        ]);
        assert_eq!(columns, ["list", "code"]);
        assert_eq!(rows, [["revenue", "4000"], ["expenses", "5000"]]);
    }

    #[test]
    fn what_is_no_list_is_none() {
        for answer in [r#"{"id":"1"}"#, r#"["a"]"#, "7", "<html>", r#"{"a":["b"]}"#] {
            assert!(Page::read(answer.as_bytes()).is_none(), "{answer}");
        }
        assert_eq!(Page::read(b"[]").unwrap().len(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(page) = Page::read(&bytes) {
                let mut table = Table::default();
                table.add(&page);
            }
        }
    }
}
