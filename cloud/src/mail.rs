//! E-mail to operators, through the mail server in the settings. Without one there is no mail.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::{Smtp, SmtpTls};

/// How long a mail server may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends mail. Cloning shares it.
#[derive(Clone)]
pub struct Mail(Option<Arc<Server>>);

struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mail {
    /// As configured: without a host there is none.
    ///
    /// # Errors
    /// A setting that cannot be used, by its name.
    pub fn new(config: &Smtp) -> anyhow::Result<Mail> {
        let Some(host) = &config.host else {
            return Ok(Mail(None));
        };
        let from = config.from.as_deref().context(
            "[smtp] from is missing: the address mail comes from, like \"Acme <no-reply@acme.example>\"",
        )?;
        let from: Mailbox = from
            .parse()
            .context("[smtp] from must be an address like \"Acme <no-reply@acme.example>\"")?;
        let tls = config.tls();
        let parameters = || TlsParameters::new(host.clone()).context("[smtp] host");
        let tls = match tls {
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(config.port())
            .tls(tls)
            .timeout(Some(PATIENCE));
        if let Some(username) = &config.username {
            let file = config.password_file.as_ref();
            let file = file.context("[smtp] password_file is missing beside username")?;
            let password = std::fs::read_to_string(file)
                .with_context(|| format!("[smtp] password_file {}", file.display()))?;
            let credentials = Credentials::new(username.clone(), password.trim_end().to_owned());
            transport = transport.credentials(credentials);
        }
        Ok(Mail(Some(Arc::new(Server {
            transport: transport.build(),
            from,
        }))))
    }

    /// Whether there is a mail server.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Sends a plain text; returns once the mail server has taken it.
    ///
    /// # Errors
    /// No mail server, an address it does not take, or no answer in time. The text is in no error.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> anyhow::Result<()> {
        let server = self.0.as_ref().context("no mail server is configured")?;
        let message = Message::builder()
            .from(server.from.clone())
            .to(to.parse().context("the address of a mail")?)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)?;
        server.transport.send(message).await?;
        Ok(())
    }
}

/// Whether the mail server will never take what it was given.
pub fn is_final(error: &anyhow::Error) -> bool {
    let told = error.downcast_ref::<lettre::transport::smtp::Error>();
    told.is_none_or(lettre::transport::smtp::Error::is_permanent)
}

/// Whether a try that failed surely left no letter behind: there was no connection, or the server said "not now".
pub fn was_not_taken(error: &anyhow::Error) -> bool {
    let Some(told) = error.downcast_ref::<lettre::transport::smtp::Error>() else {
        return true; // it was not even tried
    };
    // Which step failed is told in words alone.
    told.is_transient() || told.is_tls() || told.to_string().starts_with("Connection error")
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mail")
    }
}
