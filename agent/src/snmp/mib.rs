//! The objects we read, by where they stand: MIB-2, IF-MIB, HOST-RESOURCES-MIB, UCD-SNMP-MIB, MIKROTIK-MIB.
#![expect(missing_docs, reason = "each is called what its MIB calls it")]

/// RFC 3418.
pub const SYS_DESCR: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 1, 0];
pub const SYS_OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
pub const SYS_UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
pub const SYS_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
pub const SYS_LOCATION: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 6, 0];

/// RFC 2863: ifEntry and ifXEntry.
pub const IF: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
pub const IF_DESCR: u32 = 2;
pub const IF_TYPE: u32 = 3;
pub const IF_SPEED: u32 = 5;
pub const IF_ADMIN: u32 = 7;
pub const IF_OPER: u32 = 8;
pub const IF_IN: u32 = 10;
pub const IF_IN_DISCARDS: u32 = 13;
pub const IF_IN_ERRORS: u32 = 14;
pub const IF_OUT: u32 = 16;
pub const IF_OUT_DISCARDS: u32 = 19;
pub const IF_OUT_ERRORS: u32 = 20;
pub const IFX: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1];
pub const IFX_NAME: u32 = 1;
pub const IFX_IN: u32 = 6;
pub const IFX_OUT: u32 = 10;
pub const IFX_HIGH_SPEED: u32 = 15;
pub const IFX_ALIAS: u32 = 18;

/// RFC 2790.
pub const HR_UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 1, 1, 0];
pub const HR_STORAGE: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1];
pub const HR_STORAGE_TYPE: u32 = 2;
pub const HR_STORAGE_DESCR: u32 = 3;
pub const HR_STORAGE_UNITS: u32 = 4;
pub const HR_STORAGE_SIZE: u32 = 5;
pub const HR_STORAGE_USED: u32 = 6;
/// hrStorageTypes: 2 RAM, 4 fixed disk, 9 flash.
pub const HR_STORAGE_TYPES: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 2, 1];
pub const HR_CPU_LOAD: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 3, 1, 2];

/// MIKROTIK-MIB.
pub const MIKROTIK: &[u32] = &[1, 3, 6, 1, 4, 1, 14988];
pub const HEALTH: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 3];
/// Of [`HEALTH`]: the table of 7 and later: name, value, unit.
pub const HEALTH_TABLE: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 3, 100, 1];
pub const LICENCE_LEVEL: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 4, 3, 0];
pub const ROUTEROS_VERSION: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 4, 4, 0];
pub const HOTSPOT_ADDRESS: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 5, 1, 1, 5];
pub const DHCP_LEASES: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 6, 1, 0];
pub const SERIAL: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 7, 3, 0];
pub const FIRMWARE: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 7, 4, 0];
pub const BOARD: &[u32] = &[1, 3, 6, 1, 4, 1, 14988, 1, 1, 7, 9, 0];
/// CISCO-AAA-SESSION-MIB casnActiveTableEntries: RouterOS counts its PPP sessions there.
pub const PPP_SESSIONS: &[u32] = &[1, 3, 6, 1, 4, 1, 9, 9, 150, 1, 1, 1, 0];
