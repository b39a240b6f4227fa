//! What the newcomer reads: addresses, logins, three commands.

use std::path::Path;

use crate::ports::Ports;
use crate::seed;

/// Prints the addresses, the logins, three commands to paste and the line `EasyISP demo ready`.
pub fn print(ports: &Ports, data: &Path, expired: &str, with_router: bool) {
    let Ports {
        http,
        auth,
        acct,
        outside,
        agent_status,
        metrics,
        coa,
        router_api,
        snmp,
        ..
    } = ports;
    let (owner, password) = (seed::OWNER, seed::OWNER_PASSWORD);
    let (platform, platform_password) = (seed::PLATFORM, seed::PLATFORM_PASSWORD);
    let secret = seed::SECRET;
    let router = if with_router {
        format!(
            "demo011 … demo020 are online through the pretend router (CoA 127.0.0.1:{coa}, API :{router_api}, SNMP :{snmp})"
        )
    } else {
        format!("no pretend router; CoA goes to 127.0.0.1:{coa}")
    };
    println!(
        r#"
EasyISP demo, state in {data}

  API            http://127.0.0.1:{http}/api        (what there is: /api/openapi.json)
  RADIUS         127.0.0.1:{auth} auth, {acct} acct, secret {secret}, any loopback router
  agent status   http://127.0.0.1:{agent_status}
  M-Pesa, SMS    http://127.0.0.1:{outside}           (its books: /pretend/transactions, /pretend/messages)
  metrics        http://127.0.0.1:{metrics}/metrics

  owner          {owner} / {password}
  platform       {platform} / {platform_password}
  subscribers    demo001 … demo020, password = name; demo021 is expired
                 {router}

Try it, one after the other, in another terminal (radclient: apt-get install freeradius-utils curl):

1. A subscriber logs in, and one whose month is over does not:

   for u in demo001 demo021; do echo "User-Name=$u,User-Password=$u" | radclient -x 127.0.0.1:{auth} auth {secret}; done

2. demo021 pays by M-Pesa (the pretend payer types the PIN after a second) and logs in:

   TOKEN=$(curl -s http://127.0.0.1:{http}/api/auth/login -H 'Content-Type: application/json' -d '{{"email":"{owner}","password":"{password}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/'); curl -s http://127.0.0.1:{http}/api/payments/mpesa/stk -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"customerId":"{expired}","amount":1000}}'; echo; sleep 2; echo "User-Name=demo021,User-Password=demo021" | radclient -x 127.0.0.1:{auth} auth {secret}

3. The session starts, and the cloud sees it:

   TOKEN=$(curl -s http://127.0.0.1:{http}/api/auth/login -H 'Content-Type: application/json' -d '{{"email":"{owner}","password":"{password}"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/'); echo "User-Name=demo021,Acct-Status-Type=Start,Acct-Session-Id=by-hand-1,Framed-IP-Address=10.10.10.21,Calling-Station-Id=02:00:00:00:00:21" | radclient 127.0.0.1:{acct} acct {secret}; sleep 1; curl -s "http://127.0.0.1:{http}/api/sessions?search=demo021" -H "Authorization: Bearer $TOKEN"; echo

EasyISP demo ready
"#,
        data = data.display(),
    );
}
