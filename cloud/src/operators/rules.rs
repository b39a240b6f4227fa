//! What an operator may look like, and who may make him so.

use easyisp_shared::id::OperatorId;

use super::words::Status;
use crate::auth::{Email, Operator, Permission, PermissionSet, Role, effective};
use crate::error::{ApiError, FieldError, Wrong};

/// Most people of one tenant.
pub const MOST: i64 = 500;

/// What a request says. `None`: not mentioned.
#[derive(Clone, Default)]
pub struct Change {
    /// For people.
    pub name: Option<String>,
    /// How he signs in.
    pub email: Option<String>,
    /// Free text; `Some(None)` = emptied.
    pub phone: Option<Option<String>>,
    /// What he is.
    pub role: Option<Role>,
    /// Whether he may sign in.
    pub status: Option<Status>,
    /// Names of permissions beyond the role's.
    pub added: Option<Vec<String>>,
    /// Names of permissions that the role has and he has not.
    pub removed: Option<Vec<String>>,
}

/// An operator as he can be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// For people.
    pub name: String,
    /// How he signs in.
    pub email: Email,
    /// Free text.
    pub phone: Option<String>,
    /// What he may do.
    pub rights: Rights,
}

/// What decides what an operator may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    /// What he is.
    pub role: Role,
    /// Whether he may sign in.
    pub status: Status,
    /// Names of permissions beyond the role's.
    pub added: Vec<String>,
    /// Names of permissions that the role has and he has not.
    pub removed: Vec<String>,
}

impl Rights {
    /// What he may do: nothing while he may not sign in.
    pub fn effective(&self) -> PermissionSet {
        match self.status {
            Status::Active => self.when_active(),
            Status::Disabled | Status::Suspended => PermissionSet::EMPTY,
        }
    }

    /// What he may do as soon as he may sign in.
    fn when_active(&self) -> PermissionSet {
        effective(self.role, &self.added, &self.removed)
    }

    /// Whether he is an owner who can sign in.
    pub fn owns(&self) -> bool {
        self.role == Role::SuperAdmin && self.status == Status::Active
    }

    /// Whether `after` lacks something that he may do.
    pub fn lose(&self, after: &Rights) -> bool {
        let left = after.effective();
        self.effective().iter().any(|p| !left.has(p))
    }
}

/// The operator that a request makes of the one before.
pub fn draft(change: &Change, before: Option<&Draft>) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let name = change.name.as_deref().map(|name| name.trim().to_owned());
    let name = name.or(before.map(|before| before.name.clone()));
    let name = wrong.required("name", name);
    if !name.is_empty() && !(2..=100).contains(&name.chars().count()) {
        wrong.add("name", "must have 2 to 100 characters");
    }
    let email = match (&change.email, before) {
        (Some(text), _) => Email::parse(text),
        (None, Some(before)) => Some(before.email.clone()),
        (None, None) => None,
    };
    if email.is_none() {
        wrong.add(
            "email",
            "must be an e-mail address such as name@example.com",
        );
    }
    let phone = change.phone.clone();
    let phone = phone.unwrap_or(before.and_then(|before| before.phone.clone()));
    if phone.as_ref().is_some_and(|text| text.chars().count() > 40) {
        wrong.add("phone", "must have at most 40 characters");
    }
    let rights = rights(change, before.map(|before| &before.rights), &mut wrong);
    match (email, rights) {
        (Some(email), Some(rights)) => wrong.none_or(Draft {
            name,
            email,
            phone,
            rights,
        }),
        (_, _) => Err(wrong.none_or(()).err().unwrap_or_default()),
    }
}

fn rights(change: &Change, before: Option<&Rights>, wrong: &mut Wrong) -> Option<Rights> {
    let Some(role) = change.role.or(before.map(|before| before.role)) else {
        wrong.add("role", "is required");
        return None;
    };
    if before.is_none() && role == Role::SuperAdmin {
        let what = "must be ADMIN, CUSTOMER_CARE, FIELD_TECH, STAFF or VIEWER; \
                    an owner is made of somebody who is there, by changing his role";
        wrong.add("role", what);
    }
    let status = change.status.or(before.map(|before| before.status));
    let added = before.map(|before| before.added.clone());
    let removed = before.map(|before| before.removed.clone());
    let rights = Rights {
        role,
        status: status.unwrap_or(Status::Active),
        added: names("addedPermissions", &change.added, wrong)
            .or(added)
            .unwrap_or_default(),
        removed: names("removedPermissions", &change.removed, wrong)
            .or(removed)
            .unwrap_or_default(),
    };
    if role == Role::SuperAdmin && !rights.removed.is_empty() {
        let what =
            "must be empty for an owner, who may do everything; give him the role ADMIN first";
        wrong.add("removedPermissions", what);
    }
    Some(rights)
}

/// The list in order and without repeats.
fn names(field: &str, said: &Option<Vec<String>>, wrong: &mut Wrong) -> Option<Vec<String>> {
    let said = said.as_ref()?;
    if let Some(unknown) = said.iter().find(|name| Permission::parse(name).is_none()) {
        let shown: String = unknown.chars().take(60).collect();
        let what = format!("must hold names of permissions such as customers:edit, not {shown:?}");
        wrong.add(field, &what);
    }
    let mut names = said.clone();
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Why somebody may not do this to an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// They are his own rights.
    Own,
    /// The operator stands above him, or would.
    Above,
    /// He would hand out what he lacks.
    Lacking(Vec<Permission>),
    /// Nobody would own the tenant.
    LastOwner,
    /// The operator holds the platform's right, and the asker does not.
    Platform,
}

/// Who holds the platform's right reaches every tenant, so whoever could change him could take that right:
/// only somebody of the platform who signed in himself may.
///
/// Nobody changes his own rights, so the platform keeps whoever asks.
pub fn may_touch_platform(asker: &Operator) -> Result<(), Refused> {
    match asker.platform && asker.in_person().is_ok() {
        true => Ok(()),
        false => Err(Refused::Platform),
    }
}

/// Whether `asker` may make `before` into `after`; `None` before: a new operator.
pub fn may_change(
    asker: &Operator,
    target: OperatorId,
    before: Option<&Rights>,
    after: &Rights,
) -> Result<(), Refused> {
    if before == Some(after) && asker.id == target {
        return Ok(());
    }
    if asker.id == target {
        return Err(Refused::Own);
    }
    let highest = before.map_or(after.role.rank(), |b| b.role.rank().max(after.role.rank()));
    if highest > asker.role.rank() {
        return Err(Refused::Above);
    }
    // Also what one who is switched off could do once somebody switches him on again.
    let had = before.map_or(PermissionSet::EMPTY, Rights::effective);
    let stood = before.map_or(PermissionSet::EMPTY, Rights::when_active);
    let gets = |p: &Permission| (after.effective().has(*p) && !had.has(*p)) || !stood.has(*p);
    lacks(asker, after.when_active().iter().filter(gets))
}

/// Whether `asker` may get hold of the operator's account: set his password, say, and sign in as him.
pub fn may_take_over(asker: &Operator, rights: &Rights) -> Result<(), Refused> {
    if rights.role.rank() > asker.role.rank() {
        return Err(Refused::Above);
    }
    // Also of one who is switched off: he may be switched on again.
    lacks(asker, rights.when_active().iter())
}

fn lacks(asker: &Operator, wanted: impl Iterator<Item = Permission>) -> Result<(), Refused> {
    let lacking: Vec<_> = wanted.filter(|p| !asker.permissions.has(*p)).collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(Refused::Lacking(lacking)),
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> ApiError {
        match refused {
            Refused::Own => ApiError::forbidden(
                "OWN_RIGHTS",
                "Nobody changes his own role, status or permissions; ask another owner or administrator",
            ),
            Refused::Above => ApiError::forbidden(
                "ABOVE_YOU",
                "This role is above your own; ask somebody of that role",
            ),
            Refused::Lacking(permissions) => {
                let names: Vec<_> = permissions.iter().take(5).map(|p| p.name()).collect();
                ApiError::forbidden(
                    "BEYOND_YOURS",
                    format!(
                        "This would hand out permissions that you lack: {}; ask the account's owner",
                        names.join(", ")
                    ),
                )
            }
            Refused::Platform => ApiError::forbidden(
                "PLATFORM_PERSON",
                "This person holds the platform's right; only another person of the platform, signed in \
                 himself, may change, delete or help him",
            ),
            Refused::LastOwner => ApiError::conflict(
                "LAST_OWNER",
                "This is the only owner who can sign in; make somebody else SUPER_ADMIN first",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entropy::Entropy;
    use easyisp_shared::id::TenantId;
    use easyisp_shared::time::Timestamp;

    use super::*;
    use crate::auth::Via;

    fn asker(role: Role, added: &[&str]) -> Operator {
        let at = Timestamp::from_secs(1000);
        let entropy = Entropy::seeded(1);
        Operator {
            tenant: TenantId::new(at, &entropy),
            id: OperatorId::new(at, &entropy),
            name: "Asker".to_owned(),
            email: "asker@acme.isp".to_owned(),
            role,
            permissions: rights(role, added, &[]).effective(),
            platform: false,
            via: Via::Session,
            family: None,
            proved_at: None,
            address: [192, 0, 2, 1].into(),
            request_id: "1".into(),
        }
    }

    fn rights(role: Role, added: &[&str], removed: &[&str]) -> Rights {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Rights {
            role,
            status: Status::Active,
            added: names(added),
            removed: names(removed),
        }
    }

    fn somebody() -> OperatorId {
        OperatorId(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn nobody_hands_out_what_he_lacks() {
        let admin = asker(Role::Admin, &[]);
        let plain = rights(Role::Staff, &[], &[]);
        let raised = rights(Role::CustomerCare, &["routers:edit"], &[]);
        assert_eq!(
            may_change(&admin, somebody(), Some(&plain), &raised),
            Ok(())
        );
        let licence = rights(Role::Staff, &["settings:licence"], &[]);
        assert_eq!(
            may_change(&admin, somebody(), Some(&plain), &licence),
            Err(Refused::Lacking(vec![Permission::SettingsLicence]))
        );
        // What he has already may stay, and be taken.
        assert_eq!(
            may_change(&admin, somebody(), Some(&licence), &licence),
            Ok(())
        );
        assert_eq!(
            may_change(&admin, somebody(), Some(&licence), &plain),
            Ok(())
        );
    }

    #[test]
    fn a_low_one_with_the_permission_to_edit_makes_nobody_stronger_than_himself() {
        let care = asker(Role::CustomerCare, &["operators:edit"]);
        let tech = rights(Role::FieldTech, &[], &[]);
        let off = Rights {
            status: Status::Disabled,
            ..tech.clone()
        };
        assert_eq!(may_change(&care, somebody(), Some(&tech), &off), Ok(()));
        assert!(matches!(
            may_change(&care, somebody(), Some(&off), &tech),
            Err(Refused::Lacking(_))
        ));
        assert!(matches!(
            may_take_over(&care, &off),
            Err(Refused::Lacking(_))
        ));
    }

    #[test]
    fn nobody_plants_what_he_lacks_on_one_who_is_switched_off() {
        let admin = asker(Role::Admin, &[]);
        let off = |rights: Rights| Rights {
            status: Status::Disabled,
            ..rights
        };
        let plain = rights(Role::Staff, &[], &[]);
        let licence = rights(Role::Staff, &["settings:licence"], &[]);
        let lacking = Err(Refused::Lacking(vec![Permission::SettingsLicence]));
        for before in [Some(&off(plain.clone())), Some(&plain), None] {
            assert_eq!(
                may_change(&admin, somebody(), before, &off(licence.clone())),
                lacking
            );
        }
        // Who has it may be switched off by him, and not on again.
        let planted = off(licence.clone());
        assert_eq!(
            may_change(&admin, somebody(), Some(&licence), &planted),
            Ok(())
        );
        assert_eq!(
            may_change(&admin, somebody(), Some(&planted), &licence),
            lacking
        );
    }

    #[test]
    fn nobody_reaches_above_himself_or_at_his_own_rights() {
        let admin = asker(
            Role::Admin,
            &["settings:licence", "settings:payment_gateway"],
        );
        let owner = rights(Role::SuperAdmin, &[], &[]);
        let equal = rights(Role::Admin, &[], &[]);
        for (before, after) in [(&owner, &equal), (&equal, &owner)] {
            assert_eq!(
                may_change(&admin, somebody(), Some(before), after),
                Err(Refused::Above)
            );
        }
        assert_eq!(may_take_over(&admin, &owner), Err(Refused::Above));
        assert_eq!(may_change(&admin, somebody(), None, &equal), Ok(()));
        let lowered = rights(Role::Staff, &[], &[]);
        assert_eq!(
            may_change(&admin, admin.id, Some(&equal), &lowered),
            Err(Refused::Own)
        );
        assert_eq!(may_change(&admin, admin.id, Some(&equal), &equal), Ok(()));
    }

    #[test]
    fn only_the_platforms_own_people_in_person_touch_one_of_them() {
        let owner = asker(Role::SuperAdmin, &[]);
        assert_eq!(may_touch_platform(&owner), Err(Refused::Platform));
        let mut platform = Operator {
            platform: true,
            ..owner
        };
        assert_eq!(may_touch_platform(&platform), Ok(()));
        platform.via = Via::Visit;
        assert_eq!(may_touch_platform(&platform), Err(Refused::Platform));
    }

    #[test]
    fn a_request_is_told_field_by_field() {
        let change = Change {
            name: Some("x".to_owned()),
            email: Some("nobody".to_owned()),
            role: Some(Role::SuperAdmin),
            added: Some(vec!["sms:view".to_owned(), "no:such".to_owned()]),
            removed: Some(Vec::new()),
            ..Change::default()
        };
        let wrong = draft(&change, None).unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "email", "role", "addedPermissions"]);
        let missing = draft(&Change::default(), None).unwrap_err();
        let fields: Vec<_> = missing.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["name", "email", "role"]);
    }
}
