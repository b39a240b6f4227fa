//! Which backups of a router stay in its flash, which is small.

/// Which files of earlier backups of ours may go, by id, where `name` was just saved: those of its kind but for the one
/// before. That is the highest number below its own; where there is none, the numbers began anew, and it is the highest.
pub fn superseded(files: Vec<(String, String)>, name: &str) -> Vec<String> {
    let Some((kind, saved)) = name.rsplit_once('-') else {
        return Vec::new();
    };
    let saved: Option<u64> = saved.parse().ok();
    let mut earlier: Vec<(Option<u64>, String, String)> = files
        .into_iter()
        .filter_map(|(id, file)| {
            let stem = file
                .strip_suffix(".backup")
                .or_else(|| file.strip_suffix(".rsc"))?;
            let (held, last) = stem.rsplit_once('-')?;
            let number: Option<u64> = last.parse().ok();
            // A number of ours, or the id of a rollout: any other name is somebody's own.
            let is_id = last.len() == 32 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
            let ours = held == kind && stem != name && (number.is_some() || is_id);
            ours.then(|| (number, stem.to_owned(), id))
        })
        .collect();
    // Those without a number are kept in the order in which the router lists them.
    earlier.sort_by_key(|(number, ..)| {
        let is_before = number.is_some_and(|number| saved.is_none_or(|saved| number < saved));
        (is_before, *number)
    });
    let Some((_, newest, _)) = earlier.last().cloned() else {
        return Vec::new();
    };
    earlier.retain(|(_, stem, _)| *stem != newest);
    earlier.into_iter().map(|(_, _, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_backups_stay() {
        let files = |names: &[&str]| -> Vec<(String, String)> {
            let file = |name: &&str| (format!("id of {name}"), (*name).to_owned());
            names.iter().map(file).collect()
        };
        let held = files(&[
            "flash/easyisp-before-10.backup",
            "flash/easyisp-before-9.backup",
            "flash/easyisp-before-9.rsc",
            "flash/easyisp-before-11.backup",
            "flash/easyisp-before-theirs.rsc",
            "flash/office.backup",
            "easyisp-1f.backup",
        ]);
        assert_eq!(
            superseded(held, "flash/easyisp-before-11"),
            [
                "id of flash/easyisp-before-9.backup",
                "id of flash/easyisp-before-9.rsc"
            ]
        );
        let one = files(&["easyisp-before-1.backup", "easyisp-before-2.backup"]);
        assert_eq!(superseded(one, "easyisp-before-2"), [""; 0]);
    }

    /// A cloud that was put back counts its runs from an earlier number on.
    #[test]
    fn the_backup_before_stays_where_the_numbers_began_anew() {
        let gone = |held: &[&str], name: &str| {
            let file = |name: &&str| ((*name).to_owned(), (*name).to_owned());
            superseded(held.iter().map(file).collect(), name)
        };
        let (old, one, two) = (
            "easyisp-before-50.backup",
            "easyisp-before-1.backup",
            "easyisp-before-2.backup",
        );
        assert_eq!(gone(&[old, one], "easyisp-before-1"), [""; 0]);
        assert_eq!(gone(&[old, one, two], "easyisp-before-2"), [old]);
        assert_eq!(gone(&[one, two, old], "easyisp-before-50"), [one]);
    }
}
