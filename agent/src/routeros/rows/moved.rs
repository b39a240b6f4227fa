//! Rules that may have been moved, and what brings each back to its place.

use easyisp_shared::wire::setup::{BeforeV1, RowV1, WhichV1};

use super::{Act, is_meant, lasting};

/// A rule that may have been moved up, or made again beside one that was, and where it stood.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The item of which it is, as it stood.
    pub stood: &'a BeforeV1,
    /// The rule as it was.
    row: &'a RowV1,
    all: &'a [BeforeV1],
}

/// The rules of the menus in which some may have been moved, in an order in which each finds the one that it stood above
/// at its place. What else is to be as it was is so before they go.
pub fn moved(all: &[BeforeV1]) -> Vec<Moved<'_>> {
    let is_first = |stood: &BeforeV1| matches!(stood.item.which, WhichV1::Own { first: true, .. });
    let of_list = |stood: &&BeforeV1| {
        let menu = &stood.item.menu;
        let is_ours = matches!(stood.item.which, WhichV1::Own { .. } | WhichV1::Gone { .. });
        is_ours
            && all
                .iter()
                .any(|other| is_first(other) && other.item.menu == *menu)
    };
    let rules = all.iter().filter(of_list).flat_map(|stood| {
        let rows = stood.rows.iter();
        rows.map(move |row| Moved { stood, row, all })
    });
    let mut left: Vec<Moved<'_>> = rules.collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |one: &Moved<'_>| left.iter().any(|other| one.stood_above(other));
        // Where all wait they stand in a circle, which no list is.
        let at = left.iter().position(|one| !waits(one)).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

/// What a rule stood above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Above<'a> {
    /// The row of this number, and of this item where it is one of ours, which may have been made again.
    Row(&'a str, Option<&'a BeforeV1>),
    /// Nothing: it was the last one.
    Nothing,
}

impl<'a> Moved<'a> {
    fn stood_above(&self, other: &Moved<'_>) -> bool {
        self.stood.item.menu == other.stood.item.menu
            && self.row.next.as_deref() == Some(other.row.id.as_str())
    }

    /// What it stood above, the nearest first: further ones count where a nearer one is not there any more.
    pub fn above(&self) -> Vec<Above<'a>> {
        let mut above = Vec::new();
        let mut next = self.row.next.as_deref();
        while let Some(id) = next
            && above.len() <= self.all.len()
        {
            let ours = self.ours(id);
            above.push(Above::Row(id, ours.map(|(stood, _)| stood)));
            let Some((_, row)) = ours else { return above };
            next = row.next.as_deref();
        }
        above.push(Above::Nothing);
        above
    }

    /// A row of its menu that was changed or removed, and of which item it is.
    fn ours(&self, id: &str) -> Option<(&'a BeforeV1, &'a RowV1)> {
        let of_menu = |stood: &&BeforeV1| stood.item.menu == self.stood.item.menu;
        let all = self.all.iter().filter(of_menu);
        let mut rows = all.flat_map(|stood| stood.rows.iter().map(move |row| (stood, row)));
        rows.find(|(_, row)| row.id == id)
    }

    /// What brings it back to its place; nothing where it is there, or what it stood above is gone.
    pub fn back(&self, menu: &[RowV1]) -> Option<Act> {
        // Made again a row has another number.
        let now = |stood: Option<&BeforeV1>, id: &str| {
            let same = menu.iter().find(|row| row.id == id);
            same.or_else(|| {
                let stood = stood?;
                let was = stood.rows.iter().find(|row| row.id == id).map(lasting);
                let again = menu.iter().find(|row| Some(lasting(row)) == was);
                again.or_else(|| menu.iter().find(|row| is_meant(&stood.item, row)))
            })
        };
        let row = now(Some(self.stood), &self.row.id)?;
        let before = self.above().into_iter().find_map(|above| match above {
            Above::Row(id, stood) => now(stood, id).map(|row| Some(row.id.clone())),
            Above::Nothing => Some(None),
        })?;
        let id = row.id.clone();
        (row.next != before && before.as_ref() != Some(&id)).then_some(Act::Move { id, before })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::wire::setup::{ItemV1, ValueV1};

    use super::super::tests::row;
    use super::super::{before, to_apply};
    use super::*;

    /// Somebody's rule above ours lets him in, and may be the only one that does.
    #[test]
    fn a_rule_that_was_moved_goes_back_to_where_it_stood() {
        let rule = |comment: &str| ItemV1 {
            menu: "/ip firewall filter".to_owned(),
            which: WhichV1::Own {
                key: "comment".to_owned(),
                value: comment.to_owned(),
                first: true,
            },
            fields: vec![("chain".to_owned(), ValueV1::Text("input".to_owned()))],
        };
        let list = |order: &[(&str, &str)]| -> Vec<RowV1> {
            let mut rows: Vec<RowV1> = order
                .iter()
                .map(|(id, comment)| row(id, &[("comment", comment), ("chain", "input")]))
                .collect();
            for place in 1..rows.len() {
                rows[place - 1].next = Some(rows[place].id.clone());
            }
            rows
        };
        let carry_out = |acts: Vec<Act>, order: &mut Vec<(&'static str, &'static str)>| {
            for act in acts {
                let Act::Move { id, before } = act else {
                    continue;
                };
                let from = order.iter().position(|(held, _)| *held == id).unwrap();
                let moved = order.remove(from);
                let to = before
                    .and_then(|before| order.iter().position(|(held, _)| *held == before))
                    .unwrap_or(order.len());
                order.insert(to, moved);
            }
        };
        let (his, accept, drop, gone, last) = (
            ("*1", "his"),
            ("*2", "easyisp:a"),
            ("*3", "easyisp:b"),
            ("*4", "easyisp:gone"),
            ("*5", "easyisp:c"),
        );
        let at_first = [his, accept, drop, gone, last];
        let menu = list(&at_first);
        let removed = ItemV1 {
            which: WhichV1::Gone {
                key: "comment".to_owned(),
                value: "easyisp:gone".to_owned(),
            },
            fields: Vec::new(),
            ..rule("")
        };
        // Written in another order than they stand in.
        let items = [
            rule("easyisp:b"),
            rule("easyisp:c"),
            rule("easyisp:a"),
            removed,
        ];
        let stood: Vec<BeforeV1> = items.iter().map(|item| before(item, &menu)).collect();

        let mut order = vec![his, accept, drop, last];
        for item in &items {
            carry_out(to_apply(item, &list(&order), ""), &mut order);
        }
        assert_eq!(order, [drop, last, accept, his], "they come before his");
        // Made again it has another number, and stands where it stood.
        order.insert(2, ("*9", "easyisp:gone"));
        assert_eq!(moved(&stood).len(), 4);
        for rule in moved(&stood) {
            let back = rule.back(&list(&order));
            carry_out(back.into_iter().collect(), &mut order);
        }
        let again: Vec<&str> = order.iter().map(|(_, comment)| *comment).collect();
        let was: Vec<&str> = at_first.iter().map(|(_, comment)| *comment).collect();
        assert_eq!(again, was);
        for rule in moved(&stood) {
            assert_eq!(rule.back(&list(&order)), None, "it is there");
        }
    }
}
