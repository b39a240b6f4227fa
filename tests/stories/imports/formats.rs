//! What other systems wrote.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World};
use serde_json::json;

use super::{counts, find, report};

#[tokio::test(flavor = "multi_thread")]
async fn a_routers_own_lists_become_subscribers() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "routeros").await?;
    let ten = json!({"name": "Home fast", "type": "PPPOE", "price": 2000, "downloadSpeed": 20,
        "uploadSpeed": 20, "terms": {"routerProfile": "20M"}});
    let ten = isp.owner.post("/packages", &ten).await?;
    let text = "# 2027-01-15 11:00:00 by RouterOS 7.16.1\n/ppp secret\n\
                add comment=\"Asha Njeri\" name=asha password=asha-word profile=20M \\\n    \
                remote-address=10.0.0.7 service=pppoe\n\
                add disabled=yes name=baraka password=baraka-word profile=\"home 10\" service=any\n\
                add name=vpn1 password=vpn-word service=l2tp\n\
                add name=nobody password=nobody-word profile=gone rate=5 service=pppoe\n\
                /ip hotspot user\nadd name=guest1 password=guest-word limit-uptime=1h\n\
                /ip hotspot user profile\nadd name=x\n";
    let made = report(&world, &isp.owner, "", text).await?;
    assert_eq!(made["format"], "routeros");
    assert_eq!(counts(&made), [3, 0, 0, 2], "{made}");
    let asha = find(&isp.owner, "asha").await?;
    assert_eq!(
        (&asha["name"], &asha["packageId"]),
        (&json!("Asha Njeri"), &ten["id"])
    );
    assert_eq!(asha["staticIp"], "10.0.0.7");
    let baraka = find(&isp.owner, "baraka").await?;
    assert_eq!(
        (&baraka["status"], &baraka["name"]),
        (&json!("DISABLED"), &json!("baraka"))
    );
    assert_eq!(baraka["packageId"], isp.package.as_str());
    assert_eq!(
        find(&isp.owner, "guest1").await?["connectionType"],
        "HOTSPOT"
    );

    let rows = made["rows"].as_array().context("rows")?;
    let row = |name: &str| {
        rows.iter()
            .find(|row| row["username"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(row("vpn1")["errors"][0]["field"], "service");
    assert!(
        row("nobody")["errors"]
            .to_string()
            .contains("router profile"),
        "{made}"
    );
    assert_eq!(row("nobody")["warnings"][0]["field"], "rate");
    assert_eq!(row("guest1")["warnings"][0]["field"], "limit-uptime");
    assert!(
        made["warnings"]
            .to_string()
            .contains("/ip hotspot user profile"),
        "{made}"
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_a_radius_server_and_of_two_billing_systems_become_subscribers() -> Result<()>
{
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "radius").await?;
    let dump = "INSERT INTO `radcheck` (`id`,`username`,`attribute`,`op`,`value`) VALUES\n\
                (1,'asha','Cleartext-Password',':=','asha-word'),(2,'asha','Expiration',':=','01 Mar 2027'),\n\
                (3,'asha','Simultaneous-Use',':=','2'),(4,'baraka','NT-Password',':=','0123');\n\
                INSERT INTO `radreply` VALUES (1,'asha','Mikrotik-Rate-Limit','=','5M/10M');\n\
                INSERT INTO `radusergroup` VALUES ('asha','Home 10',0),('baraka','Home 10',0);\n";
    let made = report(&world, &isp.owner, "", dump).await?;
    assert_eq!(
        (made["format"].as_str(), counts(&made)),
        (Some("radius"), [1, 0, 0, 1]),
        "{made}"
    );
    let asha = find(&isp.owner, "asha").await?;
    // The package says how she is connected; the server meant the beginning of that day in Nairobi.
    assert_eq!(asha["connectionType"], "PPPOE");
    assert_eq!(
        (&asha["expiresAt"], &asha["devices"]),
        (&json!("2027-02-28T21:00:00.000Z"), &json!(2))
    );
    assert_eq!(
        made["rows"][0]["warnings"][0]["field"],
        "Mikrotik-Rate-Limit"
    );
    assert!(
        made["rows"][1]["errors"]
            .to_string()
            .contains("NT-Password"),
        "{made}"
    );

    let nuxbill = "id,username,password,fullname,address,phonenumber,email,balance,service_type,namebp,\
                   expiration,time,status,routers\n\
                   1,chege,chege-word,Chege M,Kilimani,0712345603,,50.00,PPPoE,Home 10,2027-02-01,23:59:00,on,\n";
    let made = report(&world, &isp.owner, "", nuxbill).await?;
    assert_eq!(
        (made["format"].as_str(), counts(&made)),
        (Some("phpnuxbill"), [1, 0, 0, 0]),
        "{made}"
    );
    assert!(
        made["warnings"].to_string().contains("balance"),
        "money is not dropped silently: {made}"
    );
    assert_eq!(
        find(&isp.owner, "chege").await?["expiresAt"],
        "2027-02-01T20:59:00.000Z"
    );

    let splynx = "\"ID\";\"Status\";\"Portal login\";\"Password\";\"Full name\";\"Plan\"\n\
                  \"1\";\"Blocked\";\"100017\";\"word-17\";\"Dalia W\";\"Home 10\"\n";
    let made = report(&world, &isp.owner, "format=splynx", splynx).await?;
    assert_eq!(counts(&made), [1, 0, 0, 0], "{made}");
    assert_eq!(find(&isp.owner, "100017").await?["status"], "SUSPENDED");
    world.stop().await
}
