//! What people may do: every permission's name, what a role brings, and the sets of both.

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($name:ident $text:literal,)*) => {
        /// One thing an operator may do. The names are the web client's and never change.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Permission {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Permission {
            /// Every permission there is.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The name in the API: `customers:create`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Permission::$name => $text,)*
                }
            }
        }
    };
}

permissions! {
    DashboardView "dashboard:view",
    DashboardActiveSessions "dashboard:active_sessions",
    DashboardTotalCustomers "dashboard:total_customers",
    DashboardMonthlyRevenue "dashboard:monthly_revenue",
    DashboardTodayRevenue "dashboard:today_revenue",
    DashboardNetworkUsage "dashboard:network_usage",
    DashboardPayments "dashboard:payments",
    PppoeView "pppoe:view",
    PppoeAddUser "pppoe:add_user",
    PppoeSendBulkSms "pppoe:send_bulk_sms",
    PppoeDetailsView "pppoe:details_view",
    PppoeEdit "pppoe:edit",
    PppoeAddChild "pppoe:add_child",
    PppoeSendSms "pppoe:send_sms",
    PppoeDelete "pppoe:delete",
    PppoeSuspend "pppoe:suspend",
    PppoeResetMac "pppoe:reset_mac",
    PppoeLockMac "pppoe:lock_mac",
    PppoePurge "pppoe:purge",
    PppoeOverridePlan "pppoe:override_plan",
    PppoeSpeedBoost "pppoe:speed_boost",
    PppoeStaticIp "pppoe:static_ip",
    PppoeChangePlan "pppoe:change_plan",
    PppoeChangeExpiry "pppoe:change_expiry",
    PppoeResolve "pppoe:resolve",
    HotspotView "hotspot:view",
    HotspotAddUser "hotspot:add_user",
    HotspotDeleteExpired "hotspot:delete_expired",
    HotspotDeleteUnused "hotspot:delete_unused",
    HotspotDetailsView "hotspot:details_view",
    HotspotDelete "hotspot:delete",
    HotspotResetMac "hotspot:reset_mac",
    HotspotPurge "hotspot:purge",
    HotspotResetCounters "hotspot:reset_counters",
    HotspotChangePackage "hotspot:change_package",
    CustomersCreate "customers:create",
    CustomersEdit "customers:edit",
    CustomersDelete "customers:delete",
    PaymentsViewElectronic "payments:view_electronic",
    PaymentsViewManual "payments:view_manual",
    PaymentsProcess "payments:process",
    SmsView "sms:view",
    SmsSettings "sms:settings",
    SmsCompose "sms:compose",
    SmsClear "sms:clear",
    SmsSend "sms:send",
    SmsDelete "sms:delete",
    SmsResend "sms:resend",
    MapsView "maps:view",
    PackagesView "packages:view",
    PackagesAddHotspot "packages:add_hotspot",
    PackagesAddPppoe "packages:add_pppoe",
    PackagesDetailsView "packages:details_view",
    PackagesEdit "packages:edit",
    PackagesDelete "packages:delete",
    RoutersView "routers:view",
    RoutersAdd "routers:add",
    RoutersTutorial "routers:tutorial",
    RoutersDetailsView "routers:details_view",
    RoutersEdit "routers:edit",
    RoutersDelete "routers:delete",
    RoutersTest "routers:test",
    RoutersConfig "routers:config",
    RoutersDisconnect "routers:disconnect",
    FinanceDashboardView "finance:dashboard_view",
    FinanceViewCharts "finance:view_charts",
    FinanceIncomeView "finance:income_view",
    FinanceIncomeCreate "finance:income_create",
    FinanceExpensesView "finance:expenses_view",
    FinanceExpensesCreate "finance:expenses_create",
    FinanceReportsView "finance:reports_view",
    FinanceReportsGenerate "finance:reports_generate",
    OperatorsView "operators:view",
    OperatorsAdd "operators:add",
    OperatorsDetailsView "operators:details_view",
    OperatorsEdit "operators:edit",
    OperatorsDelete "operators:delete",
    OperatorsManagePermissions "operators:manage_permissions",
    SettingsGeneral "settings:general",
    SettingsLicence "settings:licence",
    SettingsInvoices "settings:invoices",
    SettingsPaymentGateway "settings:payment_gateway",
    SettingsSms "settings:sms",
    SettingsPassword "settings:password",
    TicketsView "tickets:view",
    TicketsCreate "tickets:create",
    TicketsAssign "tickets:assign",
    TicketsResolve "tickets:resolve",
}

impl Permission {
    /// The permission of this name.
    pub fn parse(name: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|p| p.name() == name)
    }

    /// Whether it only lets one look.
    fn is_view(self) -> bool {
        let name = self.name();
        name.ends_with("view")
            || name.contains(":view_")
            // the dashboard's figures are views of their own
            || (name.starts_with("dashboard:"))
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Some permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u128);

const _: () = assert!(Permission::ALL.len() <= 128, "one bit each");

impl PermissionSet {
    /// None at all.
    pub const EMPTY: PermissionSet = PermissionSet(0);

    /// This set with `permission`.
    #[must_use]
    pub const fn with(self, permission: Permission) -> PermissionSet {
        PermissionSet(self.0 | 1 << permission as u32)
    }

    /// This set without `permission`.
    #[must_use]
    pub const fn without(self, permission: Permission) -> PermissionSet {
        PermissionSet(self.0 & !(1 << permission as u32))
    }

    /// Whether `permission` is in it.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// Whether at least one of `permissions` is in it.
    pub fn has_any(self, permissions: &[Permission]) -> bool {
        permissions.iter().any(|permission| self.has(*permission))
    }

    /// Every permission in it.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .iter()
            .copied()
            .filter(move |p| self.has(*p))
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> PermissionSet {
        permissions
            .into_iter()
            .fold(PermissionSet::EMPTY, PermissionSet::with)
    }
}

impl std::fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What an operator is; brings default permissions.
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
    sqlx::Type,
    utoipa::ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// Nothing until granted.
    Staff,
    /// May look at everything.
    Viewer,
    /// Works at routers and cables.
    FieldTech,
    /// Answers the phone.
    CustomerCare,
    /// Everything but licence and payment gateways.
    Admin,
    /// The tenant's owner: everything.
    SuperAdmin,
}

impl Role {
    /// What this role may do before anything is added or removed.
    pub fn defaults(self) -> PermissionSet {
        use Permission::*;

        let all = Permission::ALL.iter().copied();
        match self {
            Role::SuperAdmin => all.collect(),
            Role::Admin => all
                .filter(|p| !matches!(p, SettingsLicence | SettingsPaymentGateway))
                .collect(),
            Role::Viewer => all.filter(|p| p.is_view()).collect(),
            Role::Staff => PermissionSet::EMPTY,
            Role::CustomerCare => [
                DashboardView,
                DashboardActiveSessions,
                DashboardTotalCustomers,
                DashboardPayments,
                PppoeView,
                PppoeDetailsView,
                PppoeEdit,
                PppoeSendSms,
                PppoeSendBulkSms,
                PppoeSuspend,
                PppoeChangeExpiry,
                PppoeResolve,
                HotspotView,
                HotspotDetailsView,
                HotspotChangePackage,
                PaymentsViewElectronic,
                PaymentsViewManual,
                SmsView,
                SmsCompose,
                PackagesView,
                PackagesDetailsView,
                SettingsPassword,
            ]
            .into_iter()
            .collect(),
            Role::FieldTech => [
                DashboardView,
                DashboardActiveSessions,
                PppoeView,
                PppoeDetailsView,
                PppoeResetMac,
                PppoePurge,
                PppoeResolve,
                HotspotView,
                HotspotDetailsView,
                HotspotResetMac,
                HotspotPurge,
                HotspotResetCounters,
                MapsView,
                RoutersView,
                RoutersAdd,
                RoutersDetailsView,
                RoutersEdit,
                RoutersTest,
                RoutersConfig,
                PackagesView,
                PackagesDetailsView,
                SettingsPassword,
            ]
            .into_iter()
            .collect(),
        }
    }

    /// How high this role stands: nobody raises a role above his own. Roles of one rank are equals.
    pub fn rank(self) -> u8 {
        match self {
            Role::Staff | Role::Viewer => 0,
            Role::FieldTech | Role::CustomerCare => 1,
            Role::Admin => 2,
            Role::SuperAdmin => 3,
        }
    }
}

/// What an operator may do: the role's defaults, plus what was added, minus what was removed. A name
/// that is no permission (any more) counts for nothing.
pub fn effective(role: Role, added: &[String], removed: &[String]) -> PermissionSet {
    let named = |names: &[String]| {
        names
            .iter()
            .filter_map(|n| Permission::parse(n))
            .collect::<Vec<_>>()
    };
    let with = named(added)
        .into_iter()
        .fold(role.defaults(), PermissionSet::with);
    named(removed)
        .into_iter()
        .fold(with, PermissionSet::without)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_wins_over_added_and_default() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let set = effective(
            Role::CustomerCare,
            &names(&["routers:view", "sms:view", "no:such"]),
            &names(&["sms:view"]),
        );
        assert!(set.has(Permission::RoutersView));
        assert!(!set.has(Permission::SmsView));
        assert!(!set.has(Permission::SettingsLicence));
    }

    #[test]
    fn a_viewer_sees_everything_and_changes_nothing() {
        let set = Role::Viewer.defaults();
        for permission in [
            Permission::PppoeView,
            Permission::PaymentsViewManual,
            Permission::FinanceViewCharts,
            Permission::DashboardTodayRevenue,
            Permission::TicketsView,
        ] {
            assert!(set.has(permission), "{permission}");
        }
        for permission in [
            Permission::PppoeEdit,
            Permission::SettingsGeneral,
            Permission::CustomersCreate,
            Permission::RoutersTutorial,
        ] {
            assert!(!set.has(permission), "{permission}");
        }
        assert_eq!(Role::Staff.defaults(), PermissionSet::EMPTY);
        assert!(!Role::Admin.defaults().has(Permission::SettingsLicence));
        assert_eq!(
            Role::SuperAdmin.defaults().iter().count(),
            Permission::ALL.len()
        );
    }
}
