//! The words that stand in the database and the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is looked at.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    ToSchema,
    sqlx::Type,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = AlertRuleName)]
pub enum Kind {
    /// No agent of a site is heard.
    SiteDown,
    /// A router answers nothing.
    RouterDown,
    /// An interface that was up is down.
    LinkDown,
    /// A sensor is too hot, degrees Celsius.
    Temperature,
    /// A supply that was well is too low, volts.
    Voltage,
    /// The processor is busy, percent.
    Cpu,
    /// Memory is full, percent.
    Memory,
    /// The disk is full, percent.
    Disk,
    /// A pool of addresses is used up, percent.
    Pool,
    /// A router that the wizard configured is otherwise than that: somebody changed it, by hand or by a program.
    ConfigurationDrift,
    /// Money was sent, and nobody knows whether it arrived: a refund, or a settlement of what the platform holds.
    PayoutUnknown,
    /// What was done to many routers stopped by itself.
    RolloutStopped,
}

impl Kind {
    /// Each, parents first.
    pub const ALL: [Kind; 12] = [
        Kind::SiteDown,
        Kind::RouterDown,
        Kind::LinkDown,
        Kind::Temperature,
        Kind::Voltage,
        Kind::Cpu,
        Kind::Memory,
        Kind::Disk,
        Kind::Pool,
        Kind::ConfigurationDrift,
        Kind::PayoutUnknown,
        Kind::RolloutStopped,
    ];

    /// As it is called in the API and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::SiteDown => "SITE_DOWN",
            Kind::RouterDown => "ROUTER_DOWN",
            Kind::LinkDown => "LINK_DOWN",
            Kind::Temperature => "TEMPERATURE",
            Kind::Voltage => "VOLTAGE",
            Kind::Cpu => "CPU",
            Kind::Memory => "MEMORY",
            Kind::Disk => "DISK",
            Kind::Pool => "POOL",
            Kind::ConfigurationDrift => "CONFIGURATION_DRIFT",
            Kind::PayoutUnknown => "PAYOUT_UNKNOWN",
            Kind::RolloutStopped => "ROLLOUT_STOPPED",
        }
    }

    /// The rule of this name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// How bad.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    ToSchema,
    sqlx::Type,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schema(as = AlertSeverity)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody is without service.
    Critical,
}

/// From which severity on somebody is told in one way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schema(as = AlertTell)]
pub enum Tell {
    /// Only the worst.
    Critical,
    /// What somebody should look at.
    Warning,
    /// Everything.
    Info,
    /// Nothing.
    Off,
}

impl Tell {
    /// Whether something this bad is told.
    pub fn takes(self, severity: Severity) -> bool {
        match self {
            Tell::Off => false,
            Tell::Critical => severity >= Severity::Critical,
            Tell::Warning => severity >= Severity::Warning,
            Tell::Info => true,
        }
    }
}
