//! What the files show, some rows at a time.

use easyisp_shared::id::{CustomerId, PackageId, PaymentId};
use easyisp_shared::time::Timestamp;

use super::file::File;
use crate::customers::{self, ConnectionType, ExportRow, Filter, Status, password_of};
use crate::db::Tx;
use crate::error::ApiError;
use crate::imports::{PACKAGE_COLUMNS, package_cells};
use crate::packages;
use crate::payments::{self, Exported};
use crate::secrets::{SecretError, Secrets, TenantKey};

/// Rows that are read at once.
const AT_ONCE: i64 = 500;

/// Where a file's rows come from.
pub trait Source: Send + 'static {
    /// The names of its columns.
    fn columns(&self) -> Vec<&'static str>;

    /// Adds some more rows; whether there may be others.
    fn read(
        &mut self,
        tx: &mut Tx,
        file: &mut File,
    ) -> impl Future<Output = Result<bool, ApiError>> + Send;
}

/// The customers of a list, in its order.
pub struct Customers {
    pub filter: Filter,
    /// There when passwords are shown.
    pub secrets: Option<Secrets>,
    /// Kinds of customers whose passwords may be shown: whoever may edit them sees them singly as well.
    pub editable: Vec<ConnectionType>,
    pub after: Option<(Timestamp, CustomerId)>,
    pub now: Timestamp,
}

impl Source for Customers {
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec!["accountNumber", "username"];
        columns.extend(self.secrets.is_some().then_some("password"));
        columns.extend([
            "name",
            "email",
            "phone",
            "connectionType",
            "status",
            "package",
            "router",
            "site",
            "expiresAt",
            "autoRenew",
            "devices",
            "ipAddress",
            "macAddress",
            "location",
            "latitude",
            "longitude",
            "apartmentNumber",
            "houseNumber",
            "installationFee",
            "tags",
            "parent",
            "postpaid",
            "walletBalance",
            "createdAt",
        ]);
        columns
    }

    async fn read(&mut self, tx: &mut Tx, file: &mut File) -> Result<bool, ApiError> {
        let key = match &self.secrets {
            Some(secrets) => Some(secrets.tenant(tx).await?),
            None => None,
        };
        let rows = customers::exported(tx, &self.filter, self.after, AT_ONCE, self.now).await?;
        for row in &rows {
            self.after = Some((row.created_at, row.id));
            self.add(file, row, key.as_ref())?;
        }
        Ok(i64::try_from(rows.len()).unwrap_or(0) == AT_ONCE)
    }
}

impl Customers {
    fn add(
        &self,
        file: &mut File,
        row: &ExportRow,
        key: Option<&TenantKey>,
    ) -> Result<(), ApiError> {
        let status = match Status::of(row.standing, row.served_until, self.now) {
            Status::Active => "ACTIVE",
            Status::Suspended => "SUSPENDED",
            Status::Expired => "EXPIRED",
            Status::Disabled => "DISABLED",
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let degrees = |degrees: Option<f64>| degrees.map_or(String::new(), |d| d.to_string());
        let mut cells = vec![row.account_number.to_string(), row.username.clone()];
        if let Some(key) = key {
            cells.push(match self.editable.contains(&row.connection_type) {
                true => {
                    password_of(key, row.id, &row.password_sealed).map_err(SecretError::from)?
                }
                false => String::new(),
            });
        }
        cells.extend([
            row.name.clone(),
            text(&row.email),
            text(&row.phone),
            row.connection_type.word().to_owned(),
            status.to_owned(),
            text(&row.package_name),
            text(&row.router_name),
            row.site_name.clone(),
            row.paid_until.to_string(),
            (if row.auto_renew { "yes" } else { "no" }).to_owned(),
            row.devices
                .map_or(String::new(), |devices| devices.to_string()),
            text(&row.static_ip),
            row.macs.join(" "),
            text(&row.location),
            degrees(row.latitude),
            degrees(row.longitude),
            text(&row.apartment_number),
            text(&row.house_number),
            row.installation_fee.to_string(),
            row.tags.join(", "),
            text(&row.parent_username),
            (if row.postpaid { "yes" } else { "no" }).to_owned(),
            row.balance.to_string(),
            row.created_at.to_string(),
        ]);
        file.row(&cells)
    }
}

/// All packages.
pub struct Packages {
    pub after: Option<PackageId>,
}

impl Source for Packages {
    fn columns(&self) -> Vec<&'static str> {
        PACKAGE_COLUMNS.to_vec()
    }

    async fn read(&mut self, tx: &mut Tx, file: &mut File) -> Result<bool, ApiError> {
        let rows = packages::exported(tx, self.after, AT_ONCE).await?;
        for row in &rows {
            self.after = Some(row.id);
            file.row(&package_cells(&row.draft()))?;
        }
        Ok(i64::try_from(rows.len()).unwrap_or(0) == AT_ONCE)
    }
}

/// Payments, newest first.
pub struct Payments {
    pub wanted: Exported,
    pub after: Option<(Timestamp, PaymentId)>,
}

impl Source for Payments {
    fn columns(&self) -> Vec<&'static str> {
        vec![
            "id",
            "paidAt",
            "recordedAt",
            "amount",
            "method",
            "receipt",
            "status",
            "phone",
            "account",
            "accountNumber",
            "username",
            "name",
            "operator",
            "description",
        ]
    }

    async fn read(&mut self, tx: &mut Tx, file: &mut File) -> Result<bool, ApiError> {
        let rows = payments::exported(tx, self.wanted, self.after, AT_ONCE).await?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        for row in &rows {
            self.after = Some((row.created_at, row.id));
            let cells = [
                row.id.to_string(),
                row.paid_at.to_string(),
                row.created_at.to_string(),
                row.amount.to_string(),
                row.method.clone(),
                text(&row.receipt),
                row.status.clone(),
                text(&row.phone),
                text(&row.account),
                row.account_number.map_or(String::new(), |n| n.to_string()),
                text(&row.username),
                text(&row.customer_name),
                text(&row.operator_name),
                row.description.clone(),
            ];
            file.row(&cells)?;
        }
        Ok(i64::try_from(rows.len()).unwrap_or(0) == AT_ONCE)
    }
}
