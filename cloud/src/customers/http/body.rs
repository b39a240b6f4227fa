//! What `/api/customers` takes and gives.

use easyisp_shared::id::{CustomerId, PackageId, PaymentId, RouterId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::lines::Line;
use super::super::rules::{Change, maker, uptime};
use super::super::store::{Full, ListRow, Manual, Mpesa};
use super::super::words::{ConnectionType, Status};
use crate::api::blank;
use crate::packages::{PackageType, Period};

/// One page of customers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Customers {
    pub(super) customers: Vec<ListItem>,
    pub(super) total: i64,
    pub(super) page: u32,
    pub(super) page_size: u32,
    pub(super) total_pages: i64,
}

/// A customer in a list.
#[derive(Serialize, ToSchema)]
pub struct ListItem {
    #[serde(flatten)]
    core: Core,
    package: Option<PackageRef>,
}

/// What lists and pages show alike.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Core {
    id: CustomerId,
    username: String,
    name: String,
    email: Option<String>,
    phone: Option<String>,
    connection_type: ConnectionType,
    status: Status,
    expires_at: Option<Timestamp>,
    package_id: Option<PackageId>,
    nas_id: Option<RouterId>,
    nas: Option<RouterRef>,
    is_online: bool,
    ip_address: Option<String>,
    mac_address: Option<String>,
    wallet_balance: Cents,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A package in a list of customers.
#[derive(Serialize, ToSchema)]
pub struct PackageRef {
    id: PackageId,
    name: String,
    price: Cents,
}

/// A router in a list of customers.
#[derive(Serialize, ToSchema)]
pub struct RouterRef {
    id: RouterId,
    name: String,
}

impl Core {
    fn new(row: ListRow, now: Timestamp) -> Core {
        let until = row.served_until;
        Core {
            id: row.id,
            username: row.username,
            name: row.name,
            email: row.email,
            phone: row.phone,
            connection_type: row.connection_type,
            status: Status::of(row.standing, until, now),
            expires_at: Some(row.paid_until),
            package_id: row.package_id,
            nas_id: row.router_id,
            nas: match (row.router_id, row.router_name) {
                (Some(id), Some(name)) => Some(RouterRef { id, name }),
                (None, _) | (_, None) => None,
            },
            is_online: row.is_online,
            ip_address: row.online_ip,
            mac_address: row.online_mac,
            wallet_balance: row.balance,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl ListItem {
    pub(super) fn new(row: ListRow, now: Timestamp) -> ListItem {
        let package = match (row.package_id, &row.package_name, row.package_price) {
            (Some(id), Some(name), Some(price)) => Some(PackageRef {
                id,
                name: name.clone(),
                price,
            }),
            (None, _, _) | (_, None, _) | (_, _, None) => None,
        };
        ListItem {
            core: Core::new(row, now),
            package,
        }
    }
}

/// Everything of one customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Customer {
    #[serde(flatten)]
    core: Core,
    /// 6 to 8 digits, the last a check digit.
    account_number: String,
    /// There for operators who may edit him.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    site_id: SiteId,
    location: Option<String>,
    /// 0 when not known.
    latitude: f64,
    /// 0 when not known.
    longitude: f64,
    apartment_number: Option<String>,
    house_number: Option<String>,
    installation_fee: Cents,
    total_spent: Cents,
    auto_renew: bool,
    /// Devices at once; null = as many as the package allows.
    devices: Option<i32>,
    static_ip: Option<String>,
    /// The devices he is locked to; none = any.
    locked_macs: Vec<String>,
    /// The devices that first logins bound him to, oldest first; none where the terms do not bind.
    bound_macs: Vec<String>,
    /// A speed in place of the package's.
    speed_override: Option<SpeedOverride>,
    last_ip: Option<String>,
    last_mac: Option<String>,
    /// The maker of the device, by its address; null where the device made that up, as phones do.
    vendor: Option<String>,
    /// The router's name.
    site: Option<String>,
    uptime: Option<String>,
    monthly_usage: MonthlyUsage,
    /// Kilobytes used in the current period.
    data_used: i64,
    /// Since when data is counted.
    accounting_start_time: Option<Timestamp>,
    package: Option<PackageFull>,
    /// Labels, in order.
    tags: Vec<String>,
    /// Since when his time stands still; null = he is not paused.
    paused_at: Option<Timestamp>,
    /// When he is back by himself; null = when somebody resumes him.
    paused_until: Option<Timestamp>,
    /// Until when he is served on his word.
    promised_until: Option<Timestamp>,
    /// Whose account he is on: his time is the other's.
    parent_id: Option<CustomerId>,
    /// What his router has of who logs in nowhere (STATIC, DHCP); null for who logs in.
    line: Option<Line>,
}

/// A speed in place of the package's.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpeedOverride {
    download_mbps: i32,
    upload_mbps: i32,
    /// The end of a boost; null for one that stays.
    until: Option<Timestamp>,
}

/// Gigabytes of the calendar month.
#[derive(Serialize, ToSchema)]
pub struct MonthlyUsage {
    download: f64,
    upload: f64,
}

/// The package of one customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageFull {
    id: PackageId,
    name: String,
    #[serde(rename = "type")]
    kind: PackageType,
    price: Cents,
    download_speed: i32,
    upload_speed: i32,
    /// Minutes; null = calendar months.
    session_time: Option<i64>,
    period: Period,
    /// Bytes; null = unlimited.
    data_limit: Option<i64>,
    is_active: bool,
}

impl Customer {
    pub(super) fn new(full: Full, password: Option<String>, now: Timestamp) -> Customer {
        let gigabytes = |bytes: i64| (bytes as f64 / 1_073_741_824.0 * 1000.0).round() / 1000.0;
        let package = full.package.map(|package| {
            let package = package.0;
            PackageFull {
                period: package.period(),
                session_time: package.period().minutes(),
                id: package.id,
                name: package.name,
                kind: package.kind,
                price: Cents::new(package.price),
                download_speed: package.download_mbps,
                upload_speed: package.upload_mbps,
                data_limit: package.data_limit,
                is_active: package.is_active,
            }
        });
        Customer {
            account_number: full.account_number.to_string(),
            password,
            site_id: full.site_id,
            location: full.location,
            latitude: full.latitude.unwrap_or(0.0),
            longitude: full.longitude.unwrap_or(0.0),
            apartment_number: full.apartment_number,
            house_number: full.house_number,
            installation_fee: full.installation_fee,
            total_spent: full.total_spent,
            auto_renew: full.auto_renew,
            devices: full.devices,
            static_ip: full.static_ip,
            locked_macs: full.macs,
            bound_macs: full.bound_macs,
            speed_override: match (full.rate_down_mbps, full.rate_up_mbps) {
                (Some(download_mbps), Some(upload_mbps))
                    if full.rate_until.is_none_or(|until| now < until) =>
                {
                    Some(SpeedOverride {
                        download_mbps,
                        upload_mbps,
                        until: full.rate_until,
                    })
                }
                (Some(_), Some(_)) | (None, _) | (_, None) => None,
            },
            last_ip: full.last_ip,
            last_mac: full.last_mac.clone(),
            vendor: full.last_mac.as_deref().and_then(maker).map(str::to_owned),
            site: full.row.router_name.clone(),
            uptime: full
                .online_since
                .map(|since| uptime(now.since(since).as_secs())),
            monthly_usage: MonthlyUsage {
                download: gigabytes(full.month_down),
                upload: gigabytes(full.month_up),
            },
            data_used: full.bytes_used / 1024,
            accounting_start_time: full.bytes_used_since,
            package,
            tags: full.tags,
            paused_at: full.paused_at,
            paused_until: full.paused_until,
            promised_until: full.promised_until,
            parent_id: full.parent_id,
            line: Line::shown(
                full.row.connection_type,
                full.row.router_id,
                full.line.map(|line| line.0),
            ),
            core: Core::new(full.row, now),
        }
    }
}

/// What a client says of a customer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerRequest {
    #[serde(default, deserialize_with = "blank::option")]
    username: Option<String>,
    /// Empty or masked: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    pub(super) password: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    connection_type: Option<ConnectionType>,
    #[serde(default, deserialize_with = "blank::option")]
    status: Option<Status>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    package_id: Option<Option<PackageId>>,
    /// The only router he may use, and by it his site.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    nas_id: Option<Option<RouterId>>,
    /// His site when no router says it; the tenant's first when nothing does.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
    #[serde(default, deserialize_with = "blank::option")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    location: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<f64>)]
    latitude: Option<Option<f64>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<f64>)]
    longitude: Option<Option<f64>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    apartment_number: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    house_number: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    installation_fee: Option<Cents>,
    #[serde(default, deserialize_with = "blank::option")]
    auto_renew: Option<bool>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<i32>)]
    devices: Option<Option<i32>>,
    /// Whose account he is on: his time is the other's, who pays. Needs a customer without a parent; who has time of
    /// his own left uses it up first.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    parent_id: Option<Option<CustomerId>>,
    /// Labels, replaced as a whole: at most 20 of 1 to 40 characters; lower case.
    #[serde(default, deserialize_with = "blank::option")]
    pub(super) tags: Option<Vec<String>>,
    /// 0 starts counting anew; anything else is what was shown.
    #[serde(default, deserialize_with = "blank::option")]
    pub(super) data_used: Option<i64>,
}

impl CustomerRequest {
    pub(super) fn change(&self) -> Change {
        Change {
            username: self.username.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            phone: self.phone.clone(),
            connection_type: self.connection_type,
            standing: self.status.and_then(Status::standing),
            package: self.package_id,
            router: self.nas_id,
            site: self.site_id,
            location: self.location.clone(),
            latitude: self.latitude,
            longitude: self.longitude,
            apartment_number: self.apartment_number.clone(),
            house_number: self.house_number.clone(),
            installation_fee: self.installation_fee,
            auto_renew: self.auto_renew,
            devices: self.devices,
            parent: self.parent_id,
        }
    }
}

/// What a customer paid.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transactions {
    mpesa_transactions: Vec<MpesaTransaction>,
    manual_transactions: Vec<ManualTransaction>,
}

/// A payment by M-Pesa.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MpesaTransaction {
    id: PaymentId,
    trx_date: Timestamp,
    trx_code: String,
    paybill: String,
    amount: Cents,
    phone: String,
}

/// A payment entered by a person.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualTransaction {
    id: PaymentId,
    your_ref: String,
    amount: Cents,
    trx_date: Timestamp,
}

impl Transactions {
    pub(super) fn new(mpesa: Vec<Mpesa>, manual: Vec<Manual>) -> Transactions {
        Transactions {
            mpesa_transactions: mpesa
                .into_iter()
                .map(|payment| MpesaTransaction {
                    id: payment.id,
                    trx_date: payment.paid_at,
                    trx_code: payment.receipt,
                    paybill: payment.shortcode,
                    amount: payment.amount,
                    phone: payment.phone,
                })
                .collect(),
            manual_transactions: manual
                .into_iter()
                .map(|payment| ManualTransaction {
                    id: payment.id,
                    your_ref: payment.reference,
                    amount: payment.amount,
                    trx_date: payment.paid_at,
                })
                .collect(),
        }
    }
}
