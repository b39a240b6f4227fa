//! Making codes: at once for a handful, in the background for a box full.

use easyisp_shared::id::{TenantId, VoucherBatchId, VoucherId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherCode;

use super::CODE;
use super::rules::AT_ONCE;
use super::store::{self, Drawn};
use crate::db::{Database, Kind, Tx};
use crate::secrets::{SecretError, Secrets};

/// The kind of the job that makes a large batch; its subject is the batch.
pub const MAKE: &str = "vouchers.make";

/// Makes some more of a batch. `Some` = when to go on.
pub async fn make(
    db: &Database,
    secrets: &Secrets,
    tenant: TenantId,
    batch: VoucherBatchId,
    now: Timestamp,
) -> Result<Option<Timestamp>, SecretError> {
    let mut tx = db.begin(tenant).await?;
    let missing = make_some(&mut tx, secrets, batch, now).await?;
    tx.commit().await?;
    Ok((missing > 0).then_some(now))
}

/// Makes up to 500 codes of a batch; returns how many are then still missing.
pub(super) async fn make_some(
    tx: &mut Tx,
    secrets: &Secrets,
    batch: VoucherBatchId,
    now: Timestamp,
) -> Result<u32, SecretError> {
    let Some(row) = store::lock_batch(tx, batch).await? else {
        return Ok(0);
    };
    let missing = u32::try_from(row.quantity - row.made).unwrap_or(0);
    let wanted = missing.min(AT_ONCE);
    let key = secrets.tenant(tx).await?;
    let (digests, entropy) = (key.voucher_key(), tx.entropy());
    let length = usize::try_from(row.code_length).unwrap_or_default();
    let mut made = 0;
    // A code that the tenant has already (one in 2^50) is drawn again.
    while made < wanted {
        let draw = |_| {
            let id = VoucherId::new(now, &entropy);
            let code = VoucherCode::draw(&row.prefix, length, &entropy);
            Drawn {
                id,
                digest: code.digest(&digests).to_vec(),
                sealed: key.seal(CODE, id.0, code.expose().as_bytes()),
            }
        };
        let drawn: Vec<Drawn> = (made..wanted).map(draw).collect();
        let new = store::insert(tx, batch, &drawn, now).await?;
        made += u32::try_from(new.len()).unwrap_or(u32::MAX);
        if row.site_id.is_some() {
            for voucher in new {
                tx.changed(Kind::Voucher, voucher);
            }
        }
    }
    Ok(missing - wanted)
}
