//! Devices of 30 interfaces read over SNMP, beside Net-SNMP's `snmpbulkwalk`, from the same server.
//!
//! What counts is the reader's own CPU time: the server's is another process's, and waiting costs nothing.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::snmp::{Access, Exchange, Session, reading};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::net_snmp::SnmpSim;
use futures_util::{StreamExt, stream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::child::cpu;
use crate::table::Row;

const DEVICES: u32 = 200;
const INTERFACES: u32 = 30;
/// As many wait at once: one server answers all of them.
const AT_ONCE: usize = 8;

/// Measures a reading of everything of each device.
pub fn measure(folder: &Path) -> Result<[Row; 3]> {
    let recording = folder.join("device.snmprec");
    std::fs::write(&recording, device())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = SnmpSim::start(&[recording]).await?;
        let (ours, wall) = ours(server.address).await?;
        let (theirs, slowly) = theirs(server.address).await?;
        let polls = |wall: Duration| f64::from(DEVICES) / wall.as_secs_f64();
        let per_second = |cpu: Duration| f64::from(DEVICES) / cpu.as_secs_f64();
        let ours = per_second(ours);
        Ok([
            Row::ratio(
                "SNMP: devices of 30 interfaces a CPU second",
                ours,
                "snmpbulkwalk",
                Some(per_second(theirs)),
                Some(5.0),
            ),
            Row::ratio(
                "SNMP: polls a second, 8 at once",
                polls(wall),
                "snmpbulkwalk",
                Some(polls(slowly)),
                None,
            ),
            Row::bound(
                "SNMP: CPU for 1,000 devices a minute",
                &format!("{:.1} %", 1000.0 / ours / 60.0 * 100.0),
                "<= 10 %",
                1000.0 / ours / 60.0 <= 0.1,
            ),
        ])
    })
}

async fn ours(server: SocketAddr) -> Result<(Duration, Duration)> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let exchange = Exchange::new(here, Entropy::system(), CancellationToken::new());
    let access = Arc::new(Access::Community(b"device".to_vec().into()));
    let (before, began) = (cpu()?.0, Instant::now());
    let read = stream::iter(0..DEVICES).map(|salt| {
        let (exchange, access) = (&exchange, access.clone());
        async move {
            let mut session = Session::new(access, u64::from(salt));
            let walked = exchange
                .walk(&mut session, server, reading::everything())
                .await?;
            anyhow::Ok(reading::read(&walked.values).interfaces.len())
        }
    });
    let read: Vec<Result<usize>> = read.buffer_unordered(AT_ONCE).collect().await;
    let wall = began.elapsed();
    for interfaces in read {
        ensure!(
            interfaces? == INTERFACES as usize,
            "not all interfaces were read"
        );
    }
    Ok((cpu()?.0 - before, wall))
}

/// Everything that the device has, which is what ours reads of it, in one walk: one process for each device.
async fn theirs(server: SocketAddr) -> Result<(Duration, Duration)> {
    let (before, began) = (cpu()?.1, Instant::now());
    let read = stream::iter(0..DEVICES).map(|_| async move {
        let walked = Command::new("snmpbulkwalk")
            .args(["-v2c", "-c", "device", "-On", "-Cr25", "-t", "10"])
            .arg(format!("udp:{server}"))
            .arg("1.3.6.1.2.1")
            .output()
            .await
            .context("starting snmpbulkwalk (Debian package snmp)")?;
        ensure!(walked.status.success(), "snmpbulkwalk failed");
        anyhow::Ok(())
    });
    let read: Vec<Result<()>> = read.buffer_unordered(AT_ONCE).collect().await;
    read.into_iter().collect::<Result<Vec<()>>>()?;
    let wall = began.elapsed();
    Ok((cpu()?.1 - before, wall))
}

/// A switch as snmpsim replays it.
fn device() -> String {
    let mut rows: Vec<(Vec<u32>, String)> = Vec::new();
    let mut put = |name: &str, kind: &str, value: String| {
        let arcs: Vec<u32> = name.split('.').filter_map(|arc| arc.parse().ok()).collect();
        rows.push((arcs, format!("{name}|{kind}|{value}")));
    };
    put("1.3.6.1.2.1.1.1.0", "4", "A switch of the bench".to_owned());
    put("1.3.6.1.2.1.1.2.0", "6", "1.3.6.1.4.1.99999.1".to_owned());
    put("1.3.6.1.2.1.1.3.0", "67", "123456".to_owned());
    put("1.3.6.1.2.1.1.5.0", "4", "bench".to_owned());
    put("1.3.6.1.2.1.25.3.3.1.2.1", "2", "7".to_owned());
    for index in 1..=INTERFACES {
        let entry = "1.3.6.1.2.1.2.2.1";
        put(&format!("{entry}.2.{index}"), "4", format!("port {index}"));
        for (column, value) in [(3, 6), (7, 1), (8, 1)] {
            put(&format!("{entry}.{column}.{index}"), "2", value.to_string());
        }
        put(&format!("{entry}.5.{index}"), "66", "1000000000".to_owned());
        for column in [10, 13, 14, 16, 19, 20] {
            put(
                &format!("{entry}.{column}.{index}"),
                "65",
                (index * column).to_string(),
            );
        }
        let entry = "1.3.6.1.2.1.31.1.1.1";
        put(
            &format!("{entry}.1.{index}"),
            "4",
            format!("ge-0/0/{index}"),
        );
        put(
            &format!("{entry}.18.{index}"),
            "4",
            format!("customer {index}"),
        );
        put(&format!("{entry}.15.{index}"), "66", "1000".to_owned());
        for column in [6, 10] {
            put(
                &format!("{entry}.{column}.{index}"),
                "70",
                (1u64 << 33).to_string(),
            );
        }
    }
    rows.sort();
    rows.into_iter().fold(String::new(), |mut text, (_, row)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{row}");
        text
    })
}
