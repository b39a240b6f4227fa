//! The token by which a router says that it lives: whose it is, which it is, and a proof that this server made it.
//!
//! Nothing of it is stored and it does not end: it stands in the router's scheduler for years, where whoever may read
//! there reads it, and is the right to nothing but to say so.

use easyisp_shared::id::{RouterId, TenantId};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::secrets::Secrets;

/// A router's token: 96 hex digits.
pub fn token(secrets: &Secrets, tenant: TenantId, router: RouterId) -> String {
    let (tenant_id, router_id) = (tenant.as_bytes(), router.as_bytes());
    let proof = proof(secrets, tenant, router);
    hex::encode([&tenant_id[..], &router_id[..], &proof[..]].concat())
}

/// Whose router shows this token; `None` for one that this server did not make.
pub fn shown(secrets: &Secrets, text: &str) -> Option<(TenantId, RouterId)> {
    let bytes = hex::decode(text).ok()?;
    let (tenant, rest) = bytes.split_at_checked(16)?;
    let (router, held) = rest.split_at_checked(16)?;
    let tenant = TenantId(Uuid::from_slice(tenant).ok()?);
    let router = RouterId(Uuid::from_slice(router).ok()?);
    let is_ours: bool = proof(secrets, tenant, router).ct_eq(held).into();
    is_ours.then_some((tenant, router))
}

fn proof(secrets: &Secrets, tenant: TenantId, router: RouterId) -> [u8; PROOF] {
    let whole = secrets.derive(&format!("wizard.alive {tenant} {router}"));
    let mut proof = [0; PROOF];
    proof.copy_from_slice(&whole[..PROOF]);
    proof
}

/// 128 bits: nobody guesses them.
const PROOF: usize = 16;

#[cfg(test)]
mod tests {
    use easyisp_shared::entropy::Entropy;
    use easyisp_shared::seal::SealKey;

    use super::*;

    #[test]
    fn a_token_is_of_one_router_and_one_server() {
        let secrets = |key: u8| Secrets::new(SealKey::new([key; 32]), Entropy::system());
        let (ours, others) = (secrets(1), secrets(2));
        let tenant = TenantId(Uuid::from_u128(1));
        let router = RouterId(Uuid::from_u128(2));
        let text = token(&ours, tenant, router);
        assert_eq!(shown(&ours, &text), Some((tenant, router)));
        assert_eq!(shown(&others, &text), None);
        let other = token(&ours, tenant, RouterId(Uuid::from_u128(3)));
        let mixed = format!("{}{}", &text[..64], &other[64..]);
        for wrong in [mixed.as_str(), &text[..94], "", "é", &format!("{text}00")] {
            assert_eq!(shown(&ours, wrong), None, "{wrong}");
        }
    }
}
