//! A file for each router that is being brought up, sealed under the site's key and put in place whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use easyisp_shared::id::RouterId;
use tracing::warn;

use super::draft::Draft;
use crate::site::Site;

#[derive(Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(data_dir: &Path) -> Folder {
        Folder(data_dir.join("wizard"))
    }

    /// Returns once it is on the disk.
    pub(super) fn put(&self, site: &Site, draft: &Draft) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let clear = serde_json::to_vec(draft).map_err(io::Error::other)?;
        let sealed = site.seal(&place(draft.router), &clear);
        let (path, part) = (self.path(draft.router), self.0.join("part"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(&sealed)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Those that can be read; of another the log tells.
    pub(super) fn all(&self, site: &Site) -> Vec<Draft> {
        let Ok(files) = fs::read_dir(&self.0) else {
            return Vec::new(); // none was ever begun
        };
        let mut drafts = Vec::new();
        for file in files.flatten() {
            let name = file.file_name();
            let router = name
                .to_str()
                .and_then(|name| name.parse().ok())
                .map(RouterId);
            let Some(router) = router else { continue };
            match read(site, &file.path(), router) {
                Some(draft) => drafts.push(draft),
                None => {
                    warn!(router.id = %router, "A router that was being brought up cannot be read any more")
                }
            }
        }
        drafts
    }

    pub(super) fn remove(&self, router: RouterId) {
        if let Err(cause) = fs::remove_file(self.path(router)) {
            warn!(router.id = %router, %cause, "What was kept of a router that was brought up stays");
        }
    }

    fn path(&self, router: RouterId) -> PathBuf {
        self.0.join(router.0.to_string())
    }
}

fn read(site: &Site, path: &Path, router: RouterId) -> Option<Draft> {
    let sealed = fs::read(path).ok()?;
    let clear = site.unseal(&place(router), &sealed)?;
    serde_json::from_slice(&clear).ok()
}

fn place(router: RouterId) -> Vec<u8> {
    [b"wizard/".as_slice(), router.0.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use easyisp_shared::seal::SealKey;
    use easyisp_shared::time::Timestamp;
    use uuid::Uuid;

    use super::super::draft::Wish;
    use super::*;
    use crate::site::Ranges;

    #[test]
    fn what_is_kept_opens_at_its_own_site_alone_and_shows_no_secret() {
        let site = |key| Site::new(SealKey::new([key; 32]), Ranges::new(Vec::new()));
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(home.path());
        let wish = Wish {
            name: "Tower".to_owned(),
            pppoe: Some(Vec::new()),
            hotspot: None,
            wan: None,
            agent: None,
            firewall: true,
            replaced: false,
        };
        let router = RouterId(Uuid::from_u128(7));
        let begun = (
            Ipv4Addr::new(10, 9, 0, 2),
            Timestamp::from_secs(1_800_000_000),
        );
        let secret = "a-secret-of-its-own";
        let draft = Draft::new(router, wish, begun, secret.to_owned(), "another".to_owned());
        assert!(folder.all(&site(1)).is_empty(), "none was ever begun");

        folder.put(&site(1), &draft).unwrap();
        folder.put(&site(1), &draft).unwrap();
        let kept = folder.all(&site(1));
        assert_eq!((kept.len(), kept[0].secret.as_str()), (1, secret));
        let bytes = fs::read(folder.path(router)).unwrap();
        let shows = |word: &str| {
            bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        };
        assert!(!shows(secret) && !shows("Tower"));
        assert!(folder.all(&site(2)).is_empty(), "another site's");
        folder.remove(router);
        assert!(folder.all(&site(1)).is_empty());
    }
}
