//! The command line: what each command is, and what it does.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use easyisp_cloud::auth::{Email, SignIn};
use easyisp_cloud::config::{Config, LogFormat};
use easyisp_cloud::db::Database;
use easyisp_cloud::secrets::Secrets;
use easyisp_cloud::sites::agents::rotation;
use easyisp_cloud::{Cloud, Options, Store, ledger, sync, tenants};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};

/// The control plane of EasyISP.
///
/// Tenants, customers, packages and money live here; agents beside the routers keep deciding while it is
/// away. Without `[database] url` it runs a private PostgreSQL of its own under `data_dir`.
#[derive(Parser, Debug)]
#[command(version, arg_required_else_help = true, after_long_help = environment())]
pub struct Arguments {
    /// The settings, a TOML file. Every key is also an environment variable EASYISP_<SECTION>_<KEY>, which
    /// wins over the file; unknown keys and unknown variables are errors.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serves the API and the agents' door until SIGTERM or Ctrl-C.
    ///
    /// Brings the schema up to date first. Requests under way are finished when it stops.
    Serve,
    /// Brings the schema up to date and ends.
    ///
    /// Each migration is one transaction; what was applied before is skipped. Needs `[database] migrate_url`
    /// where the database is not the private one.
    Migrate,
    /// The platform's own people.
    #[command(subcommand)]
    Owner(Owner),
    /// Replaces the authority by which agents and nodes know each other, step by step.
    ///
    /// `announce` makes the next one; agents hear of it when they renew. `take-over` has it sign, once every
    /// agent that may still renew has heard of it (120 days). `retire` ends the one before, another 120 days
    /// later. Start the nodes anew after each. Prints how many are believed then.
    Authority {
        /// Which step.
        step: Step,
        /// Without waiting: the present authority is in wrong hands. Boxes that were off are enrolled anew.
        #[arg(long)]
        hurry: bool,
    },
    /// What agents reported and could not be applied.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Proves the books: balances, the chain of sealed entries, day totals, and the unsealed tail.
    ///
    /// Every tenant, or one. Ends with 0 when nothing is wrong, with 1 after naming what is.
    VerifyLedger {
        /// Only this tenant's books.
        #[arg(long, value_name = "ID")]
        tenant: Option<uuid::Uuid>,
    },
    /// Writes a tenant's sealed books, one line of JSON for every row of the chain.
    ///
    /// The README has a script of Python's standard library that checks such a file.
    ExportLedger {
        /// Whose books.
        #[arg(long, value_name = "ID")]
        tenant: uuid::Uuid,
        /// Where to; without it they are printed. A file that is there already is not written over.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Prints the API's description, as `GET /api/openapi.json` answers it.
    Openapi,
}

#[derive(Subcommand, Debug)]
enum Quarantine {
    /// Applies it once more, in the order in which it was sent; a server does so once a day.
    ///
    /// What this release knows, or what a mended database takes, takes effect; the rest stays where it is. Prints how
    /// many of each.
    Replay {
        /// Only this tenant's.
        #[arg(long, value_name = "ID")]
        tenant: Option<uuid::Uuid>,
    },
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Step {
    Announce,
    TakeOver,
    Retire,
}

#[derive(Subcommand, Debug)]
enum Owner {
    /// Makes a platform account, which may see and manage all tenants.
    ///
    /// It lives in a reserved tenant called "Platform". The password is asked for twice, unless it comes
    /// from a file or through a pipe (its first line).
    Create {
        /// How the person signs in.
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// The person's name.
        #[arg(long, value_name = "NAME", default_value = "Platform owner")]
        name: String,
        /// A file whose first line is the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

fn environment() -> String {
    let mut text = String::from("Environment variables, each the same as the key in the file:\n");
    for variable in Config::variables() {
        text.push_str("  ");
        text.push_str(&variable);
        text.push('\n');
    }
    text
}

/// Does what the command line says.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = || Config::load(arguments.config.as_deref());
    match arguments.command {
        Command::Serve => serve(config()?).await,
        Command::Migrate => migrate(config()?).await,
        Command::Owner(Owner::Create {
            email,
            name,
            password_file,
        }) => create_owner(config()?, &email, &name, password_file.as_deref()).await,
        Command::Authority { step, hurry } => rotate(config()?, step, hurry).await,
        Command::Quarantine(Quarantine::Replay { tenant }) => replay(config()?, tenant).await,
        Command::VerifyLedger { tenant } => verify(config()?, tenant).await,
        Command::ExportLedger { tenant, output } => {
            export(config()?, tenant, output.as_deref()).await
        }
        Command::Openapi => {
            let text = easyisp_cloud::openapi().to_pretty_json()?;
            // Who stops reading early (head) has had enough; that is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    log_to_stderr(&config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let start = Cloud::start(Options::new(config));
    let cloud = tokio::select! {
        cloud = start => cloud?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    tracing::info!(
        http = %cloud.http_addr, agents = %cloud.agents_addr, metrics = %cloud.metrics_addr,
        "Serving HTTP at {}, agents at {} (UDP), metrics at {}",
        cloud.http_addr, cloud.agents_addr, cloud.metrics_addr
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping");
    cloud.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: Config) -> anyhow::Result<ExitCode> {
    log_to_stderr(&config)?;
    let store = Store::open_beside(&config).await?;
    let count = store.migrate().await;
    store.close().await?;
    println!("The schema is up to date: {} migrations", count?);
    Ok(ExitCode::SUCCESS)
}

async fn create_owner(
    config: Config,
    email: &str,
    name: &str,
    file: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let email = Email::parse(email)
        .with_context(|| format!("{email:?} is not an e-mail address such as name@example.com"))?;
    let password = ask_password(file)?;
    with_database(&config, async |db: &Database, secrets: &Secrets| {
        let entropy = db.entropy().clone();
        let sign_in = SignIn::new(secrets, &config.limits, entropy);
        let hash = sign_in.new_password("the password", &password, &email);
        let hash = hash.await.map_err(|error| error.into_cause())?;
        let now = Clock::system().now();
        tenants::create_platform_owner(db, secrets, name, &email, &hash, now)
            .await
            .map_err(|error| error.into_cause())?;
        println!(
            "{} may sign in as one of the platform's own people",
            email.as_str()
        );
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn rotate(config: Config, step: Step, hurry: bool) -> anyhow::Result<ExitCode> {
    let step = match step {
        Step::Announce => rotation::Step::Announce,
        Step::TakeOver => rotation::Step::TakeOver,
        Step::Retire => rotation::Step::Retire,
    };
    let hurry = match hurry {
        true => rotation::Hurry::Yes,
        false => rotation::Hurry::No,
    };
    with_database(&config, async |db: &Database, secrets: &Secrets| {
        let now = Clock::system().now();
        let believed = rotation::rotate(db, secrets, (step, hurry), now).await?;
        println!("{} believed; start the nodes anew", believed.len());
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn replay(config: Config, tenant: Option<uuid::Uuid>) -> anyhow::Result<ExitCode> {
    with_database(&config, async |db: &Database, secrets: &Secrets| {
        let appliers = easyisp_cloud::appliers(secrets);
        let (tenant, now) = (tenant.map(Into::into), Clock::system().now());
        let replayed = sync::replay_all(db, &appliers, tenant, now).await?;
        println!("{} applied, {} kept", replayed.applied, replayed.kept);
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn verify(config: Config, tenant: Option<uuid::Uuid>) -> anyhow::Result<ExitCode> {
    with_database(&config, async |db: &Database, _: &Secrets| {
        let scope = match tenant {
            Some(tenant) => {
                is_there(db, tenant).await?;
                ledger::Scope::Tenant(tenant.into())
            }
            None => ledger::Scope::All,
        };
        let mut told = Instant::now();
        let report = ledger::verify(db, scope, &mut |progress| {
            let (done, tenants) = (progress.done + 1, progress.tenants);
            let far = format!("tenant {done} of {tenants}, {} rows", progress.rows);
            if std::io::stderr().is_terminal() {
                eprint!("\r{far} ");
            } else if told.elapsed() >= EVERY {
                // In a file or a journal: a line now and then.
                told = Instant::now();
                eprintln!("{far}");
            }
        })
        .await?;
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
        for finding in &report.findings {
            println!("{finding}");
        }
        println!(
            "{} tenants, {} sealed rows, {} not sealed yet, {} findings",
            report.tenants,
            report.rows,
            report.tail,
            report.findings.len()
        );
        Ok(match report.is_clean() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    })
    .await
}

/// How often it is told how far it is where nobody sits before it.
const EVERY: Duration = Duration::from_secs(10);

/// A slip in an id is no tenant without faults.
async fn is_there(db: &Database, tenant: uuid::Uuid) -> anyhow::Result<()> {
    let known = ledger::is_tenant(db, tenant.into()).await?;
    ensure!(known, "there is no tenant {tenant}");
    Ok(())
}

async fn export(
    config: Config,
    tenant: uuid::Uuid,
    output: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    with_database(&config, async |db: &Database, _: &Secrets| {
        is_there(db, tenant).await?;
        let mut to: Box<dyn Write> = match output {
            Some(path) => Box::new(
                std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(path)
                    .with_context(|| format!("cannot write {}", path.display()))?,
            ),
            None => Box::new(std::io::stdout()),
        };
        let mut books = ledger::Export::begin(db, tenant.into()).await?;
        while let Some(text) = books.next(db).await? {
            to.write_all(text.as_bytes())?;
        }
        to.flush()?;
        eprintln!("{} rows", books.lines());
        Ok(ExitCode::SUCCESS)
    })
    .await
}

/// Opens the database (starting the private one where need be), works with it, closes it.
async fn with_database(
    config: &Config,
    work: impl AsyncFnOnce(&Database, &Secrets) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let entropy = Entropy::system();
    let store = Store::open_beside(config).await?;
    let result = async {
        store.migrate().await?;
        let secrets = Secrets::from_file(&config.master_key_file(), entropy.clone())?;
        let db = store.connect(config, &secrets, &entropy).await?;
        let result = work(&db, &secrets).await;
        db.close().await;
        result
    }
    .await;
    store.close().await?;
    result
}

fn ask_password(file: Option<&Path>) -> anyhow::Result<SecretString> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        return first_line(&text);
    }
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        return first_line(&line);
    }
    let password = rpassword::prompt_password("Password (12 characters at least): ")?;
    let again = rpassword::prompt_password("The same once more: ")?;
    if password != again {
        bail!("the two passwords differ; nothing was made");
    }
    Ok(password.into())
}

fn first_line(text: &str) -> anyhow::Result<SecretString> {
    let line = text.lines().next().unwrap_or_default();
    ensure!(!line.is_empty(), "there is no password in it");
    Ok(line.into())
}

fn log_to_stderr(config: &Config) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::try_new(&config.log.filter)
        .with_context(|| format!("[log] filter {:?}", config.log.filter))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
