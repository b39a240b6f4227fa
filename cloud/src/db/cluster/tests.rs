//! Real clusters on this machine: created, killed, restarted, refused, upgraded.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

use super::*;

const QUICK: Options = Options {
    durability: Durability::Unsynced,
    lifetime: Lifetime::Kept,
};

#[tokio::test]
async fn a_cluster_is_created_and_found_again_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    // Deeper than a socket's path may be long.
    let data_dir = folder.path().join("deep".repeat(30)).join("data");

    let cluster = Cluster::start(&data_dir, QUICK).await.unwrap();
    write(&cluster, "kept").await;
    let socket_dir = cluster.socket_dir().to_path_buf();
    assert_eq!(mode(&socket_dir), 0o700);
    cluster.stop().await.unwrap();
    assert!(!socket_dir.exists());

    let cluster = Cluster::start(&data_dir, QUICK).await.unwrap();
    assert_eq!(read(&cluster).await, "kept");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn the_app_role_owns_nothing_and_commits_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), Options::default())
        .await
        .unwrap();
    let mut app = PgConnection::connect_with(&cluster.options(Role::App))
        .await
        .unwrap();

    let rights: (bool, bool, bool, bool) = sqlx::query_as(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb
           from pg_roles
          where rolname = current_user",
    )
    .fetch_one(&mut app)
    .await
    .unwrap();
    assert_eq!(rights, (false, false, false, false));
    assert!(app.execute("create table mine (id int)").await.is_err());

    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
    ] {
        let found: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!(found, value, "{setting}");
    }
    drop(app);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn two_processes_never_share_a_data_dir() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();

    let second = Cluster::start(folder.path(), QUICK).await.unwrap_err();
    assert!(matches!(second, ClusterError::InUse(_)), "{second}");

    write(&cluster, "unharmed").await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    for kill_supervisor in [false, true] {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("db::cluster::tests::run_until_killed")
            .env(RUN_IN, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(
            said.map(Result::unwrap)
                .any(|line| line.contains("cluster runs"))
        );

        if kill_supervisor {
            kill(parent(server(folder.path())));
        }
        process.kill().unwrap();
        process.wait().unwrap();

        let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
        assert_eq!(read(&cluster).await, "written before the kill");
        cluster.stop().await.unwrap();
    }
    let left: Vec<_> = fs::read_to_string(folder.path().join("pg.socket"))
        .into_iter()
        .collect();
    assert!(!Path::new(&left[0]).exists());
}

const RUN_IN: &str = "EASYISP_TEST_RUN_CLUSTER_IN";

/// The process that the test above kills; does nothing in an ordinary run.
#[tokio::test]
async fn run_until_killed() {
    let Some(data_dir) = std::env::var_os(RUN_IN) else {
        return;
    };
    let cluster = Cluster::start(Path::new(&data_dir), QUICK).await.unwrap();
    write(&cluster, "written before the kill").await;
    println!("cluster runs");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_noticed_and_recovers_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), Options::default())
        .await
        .unwrap();
    write(&cluster, "committed").await;

    let ended = cluster.ended();
    kill(server(folder.path()));
    ended.await;
    cluster.stop().await.unwrap();

    let cluster = Cluster::start(folder.path(), Options::default())
        .await
        .unwrap();
    assert_eq!(read(&cluster).await, "committed");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_of_somebody_else_does_not_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    cluster.stop().await.unwrap();

    let pid_file = folder.path().join("pg/postmaster.pid");
    fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    let owner = fs::metadata(folder.path().join("pg")).unwrap();
    chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();

    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_a_missing_release_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    cluster.stop().await.unwrap();
    let version = folder.path().join("pg/PG_VERSION");
    let real = fs::read(&version).unwrap();
    fs::write(&version, "9\n").unwrap();

    let error = Cluster::start(folder.path(), QUICK).await.unwrap_err();
    assert!(
        error.to_string().contains("apt-get install postgresql-9"),
        "{error}"
    );
    assert_eq!(fs::read(&version).unwrap(), b"9\n");
    assert!(!folder.path().join("pg.new").exists());

    fs::write(&version, real).unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    cluster.stop().await.unwrap();
}

/// Debian has one release of PostgreSQL at a time; pg_upgrade also goes from one to itself.
#[tokio::test]
async fn an_upgrade_keeps_the_data_and_the_old_files() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), Options::default())
        .await
        .unwrap();
    write(&cluster, "carried over").await;
    cluster.stop().await.unwrap();

    let home = Home::open(folder.path()).unwrap();
    let run_as = RunAs::choose(&home).await.unwrap();
    let installed = binaries::find().await;
    let release = &installed[0];
    let kept = upgrade::upgrade(&home, &run_as, release, release)
        .await
        .unwrap();
    assert!(kept.join("PG_VERSION").exists());

    let cluster = start_as(home, &run_as, &installed, QUICK).await.unwrap();
    upgrade::analyze(&cluster).await.unwrap();
    assert_eq!(read(&cluster).await, "carried over");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_killed_between_its_renames_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    write(&cluster, "copied").await;
    cluster.stop().await.unwrap();
    fs::rename(folder.path().join("pg"), folder.path().join("pg.upgraded")).unwrap();

    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    assert_eq!(read(&cluster).await, "copied");
    cluster.stop().await.unwrap();
}

/// In a namespace the server still is root to the folders above its own.
#[tokio::test]
async fn folders_closed_to_other_users_stay_open_to_root() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    let home = Home::open(&closed.join("data")).unwrap();
    match RunAs::choose(&home).await.unwrap() {
        RunAs::Ourselves | RunAs::Namespace(_) => {}
        RunAs::Other(_) => return, // this machine has no namespaces; another user needs open folders
    }
    drop(home);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();

    let cluster = Cluster::start(&closed.join("data"), QUICK).await.unwrap();
    write(&cluster, "inside").await;
    cluster.stop().await.unwrap();
}

/// Where user namespaces are refused. Only root can become somebody else.
#[tokio::test]
async fn root_without_namespaces_runs_it_as_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let postgres = run_as::named(&passwd, "postgres");
    let (0, Some(postgres)) = (fs::metadata("/proc/self").unwrap().uid(), postgres) else {
        return;
    };
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let home = Home::open(folder.path()).unwrap();
    let run_as = RunAs::Other(postgres.clone());
    let installed = binaries::find().await;
    let cluster = start_as(home, &run_as, &installed, QUICK).await.unwrap();
    write(&cluster, "as postgres").await;
    cluster.stop().await.unwrap();
    let owner = fs::metadata(folder.path().join("pg")).unwrap().uid();
    assert_eq!(owner, postgres.uid);

    // Whoever owns the data runs it, whatever would be chosen for new data.
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    assert_eq!(read(&cluster).await, "as postgres");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_temporary_cluster_takes_its_folder_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let options = Options {
        lifetime: Lifetime::Temporary,
        ..QUICK
    };
    let cluster = Cluster::start(&data_dir, options).await.unwrap();
    let socket_dir = cluster.socket_dir().to_path_buf();
    cluster.stop().await.unwrap();
    assert!(!data_dir.exists());
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn the_log_names_errors_but_no_values() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    let mut owner = PgConnection::connect_with(&cluster.options(Role::Owner))
        .await
        .unwrap();
    owner
        .execute("create table phones (number text unique)")
        .await
        .unwrap();
    for _ in 0..2 {
        let _ = sqlx::query("insert into phones values ($1)")
            .bind("254700000001")
            .execute(&mut owner)
            .await;
    }
    drop(owner);
    cluster.stop().await.unwrap();

    let log = fs::read_to_string(folder.path().join("pg.log")).unwrap();
    assert!(log.contains("duplicate key"), "{log}");
    assert!(!log.contains("254700000001"), "{log}");
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), QUICK).await.unwrap();
    cluster.stop().await.unwrap();
    fs::write(
        folder.path().join("pg/postgresql.conf"),
        "shared_buffer = 1\n",
    )
    .unwrap();

    let error = Cluster::start(folder.path(), QUICK)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("shared_buffer"), "{error}");
}

async fn write(cluster: &Cluster, text: &str) {
    let mut owner = PgConnection::connect_with(&cluster.options(Role::Owner))
        .await
        .unwrap();
    owner
        .execute("create table if not exists notes (text text)")
        .await
        .unwrap();
    owner.execute("delete from notes").await.unwrap();
    sqlx::query("insert into notes values ($1)")
        .bind(text)
        .execute(&mut owner)
        .await
        .unwrap();
    // Commits of these clusters are not synced: what a kill must keep is written out here.
    let mut admin = PgConnection::connect_with(&cluster.options(Role::Admin))
        .await
        .unwrap();
    admin.execute("checkpoint").await.unwrap();
}

async fn read(cluster: &Cluster) -> String {
    let mut owner = PgConnection::connect_with(&cluster.options(Role::Owner))
        .await
        .unwrap();
    sqlx::query_scalar("select text from notes")
        .fetch_one(&mut owner)
        .await
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn server(data_dir: &Path) -> u32 {
    let file = fs::read_to_string(data_dir.join("pg/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// The fourth field of `/proc/PID/stat`, after the name in brackets.
fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn kill(pid: u32) {
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}
