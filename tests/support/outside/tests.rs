//! What a merchant meets: Daraja and the SMS gateways over real sockets.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};

use super::Outside;
use crate::mpesa::App;
use crate::scenario::*;

const PHONE: &str = "254712345678";

#[tokio::test]
async fn a_paid_push_calls_back_with_the_receipt_of_the_books() {
    let mut shop = Shop::open().await;
    shop.outside.mpesa.script(PHONE, Payer::prompt());

    let accepted = shop.push(json!({})).await.unwrap();
    let callback = shop.callbacks.recv().await.unwrap();

    let checkout = accepted["CheckoutRequestID"].as_str().unwrap();
    let paid = shop.outside.mpesa.called_back(checkout, 1).await;
    let callback = &callback["Body"]["stkCallback"];
    assert_eq!(callback["CheckoutRequestID"], checkout);
    assert_eq!(callback["ResultCode"], 0);
    let items = callback["CallbackMetadata"]["Item"].as_array().unwrap();
    let item = |name: &str| &items.iter().find(|item| item["Name"] == name).unwrap()["Value"];
    assert_eq!(item("MpesaReceiptNumber"), paid.receipt().unwrap());
    assert_eq!(item("Amount"), &json!(1000.0));
    assert_eq!(item("PhoneNumber"), &json!(254_712_345_678_u64));
    let receipt = paid.receipt().unwrap();
    assert_eq!(receipt.len(), 10);
    assert!(
        receipt
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    );
    assert_eq!(paid.callbacks[0].status, Some(200));
}

#[tokio::test]
async fn an_open_prompt_is_pending_and_a_refused_one_says_why() {
    let mut shop = Shop::open().await;
    shop.outside.mpesa.script(
        PHONE,
        Payer {
            pin: Pin::Held,
            ..Payer::refusing(1032)
        },
    );

    let accepted = shop.push(json!({})).await.unwrap();
    let checkout = accepted["CheckoutRequestID"].as_str().unwrap();
    let pending = shop.query(checkout).await.unwrap_err();
    assert_eq!(pending.0, 500);
    assert_eq!(pending.1["errorCode"], "500.001.1001");
    assert_eq!(
        pending.1["errorMessage"],
        "The transaction is being processed"
    );

    let busy = shop.push(json!({})).await.unwrap_err();
    assert_eq!(busy.1["errorCode"], "500.001.1001");
    assert_eq!(shop.outside.mpesa.books().prompts(PHONE), 1);

    shop.outside.mpesa.type_pin(checkout);
    let callback = shop.callbacks.recv().await.unwrap();
    assert_eq!(callback["Body"]["stkCallback"]["ResultCode"], 1032);
    assert_eq!(shop.query(checkout).await.unwrap()["ResultCode"], "1032");
    assert_eq!(shop.outside.mpesa.books().paid().count(), 0);
}

#[tokio::test]
async fn every_field_of_a_push_is_checked() {
    let shop = Shop::open().await;
    let wrong = [
        (json!({"Amount": 0}), "Amount"),
        (json!({"Amount": 10.5}), "Amount"),
        (json!({"Amount": "ten"}), "Amount"),
        (json!({"PhoneNumber": "0712345678"}), "PhoneNumber"),
        (json!({"PhoneNumber": "+254712345678"}), "PhoneNumber"),
        (json!({"PartyA": "254711111111"}), "PartyA"),
        (json!({"PartyB": "1"}), "PartyB"),
        (
            json!({"AccountReference": "1234567890123"}),
            "AccountReference",
        ),
        (json!({"AccountReference": ""}), "AccountReference"),
        (
            json!({"TransactionType": "CustomerBuyGoodsOnline"}),
            "TransactionType",
        ),
        (
            json!({"CallBackURL": "http://shop.example/x"}),
            "CallBackURL",
        ),
        (
            json!({"TransactionDesc": "x".repeat(183)}),
            "TransactionDesc",
        ),
        (json!({"Timestamp": "2026"}), "Timestamp"),
    ];
    for (change, field) in wrong {
        let (status, body) = shop.push(change).await.unwrap_err();
        assert_eq!(
            (status, &body["errorCode"]),
            (400, &json!("400.002.02")),
            "{field}"
        );
        assert!(
            body["errorMessage"].as_str().unwrap().ends_with(field),
            "{body}"
        );
    }

    let utc = Shop { zone: 0, ..shop };
    assert_eq!(
        utc.push(json!({})).await.unwrap_err().1["errorMessage"],
        "Bad Request - Invalid Timestamp"
    );
    let shop = Shop { zone: 3, ..utc };
    let (status, body) = shop.push(json!({"Password": "bm8="})).await.unwrap_err();
    assert_eq!(
        (status, &body["errorMessage"]),
        (500, &json!("Wrong credentials"))
    );
    assert_eq!(shop.outside.mpesa.books().transactions().len(), 0);
}

#[tokio::test]
async fn a_token_needs_the_right_secret_and_can_be_forgotten() {
    let shop = Shop::open().await;
    let bad = App {
        secret: "wrong".to_owned(),
        ..App::demo()
    };
    let (status, body) = Shop::token(&shop.outside, &bad).await.unwrap_err();
    assert_eq!((status, &body["errorCode"]), (400, &json!("400.008.01")));

    shop.outside.mpesa.forget_tokens();
    let (status, body) = shop.push(json!({})).await.unwrap_err();
    assert_eq!((status, &body["errorCode"]), (404, &json!("404.001.03")));
}

#[tokio::test]
async fn callbacks_come_twice_late_or_never_as_scripted() {
    let clock = Clock::test(Timestamp::from_secs(1_770_000_000));
    let mut shop = Shop::open_on(clock.clone()).await;

    let twice = Callback::Repeated {
        times: 2,
        apart: Duration::ZERO,
    };
    shop.outside.mpesa.script(
        PHONE,
        Payer {
            callback: twice,
            ..Payer::prompt()
        },
    );
    shop.push(json!({})).await.unwrap();
    let copies = [
        shop.callbacks.recv().await.unwrap(),
        shop.callbacks.recv().await.unwrap(),
    ];
    assert_eq!(copies[0], copies[1]);

    let day = Duration::from_secs(86_400);
    shop.outside.mpesa.script(
        PHONE,
        Payer {
            callback: Callback::Late(day),
            ..Payer::prompt()
        },
    );
    let accepted = shop.push(json!({})).await.unwrap();
    let checkout = accepted["CheckoutRequestID"].as_str().unwrap().to_owned();
    let settled = shop
        .outside
        .mpesa
        .until(|books| books.find(&checkout)?.outcome.clone())
        .await;
    assert!(shop.callbacks.try_recv().is_err());
    assert_eq!(shop.query(&checkout).await.unwrap()["ResultCode"], "0");
    clock.advance(day);
    shop.callbacks.recv().await.unwrap();
    assert_eq!(
        shop.outside.mpesa.called_back(&checkout, 1).await.callbacks[0].at,
        settled.at.plus(day)
    );

    let shop = shop.with_new_token().await;
    let silent = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    shop.outside.mpesa.script(PHONE, silent);
    let accepted = shop.push(json!({})).await.unwrap();
    let checkout = accepted["CheckoutRequestID"].as_str().unwrap();
    shop.outside
        .mpesa
        .until(|books| books.find(checkout)?.receipt().map(str::to_owned))
        .await;
    assert_eq!(
        shop.outside.mpesa.books().find(checkout).unwrap().callbacks,
        []
    );
}

#[tokio::test]
async fn a_callback_can_overtake_the_answer_of_its_push() {
    let mut shop = Shop::open().await;
    shop.outside.mpesa.script(
        PHONE,
        Payer {
            callback: Callback::BeforeAnswer,
            ..Payer::default()
        },
    );

    let accepted = shop.push(json!({})).await.unwrap();

    let callback = shop.callbacks.try_recv().unwrap();
    assert_eq!(
        callback["Body"]["stkCallback"]["CheckoutRequestID"],
        accepted["CheckoutRequestID"]
    );
}

#[tokio::test]
async fn a_push_without_an_answer_still_reaches_the_phone() {
    let shop = Shop::open().await;
    shop.outside.mpesa.script(
        PHONE,
        Payer {
            push: PushAnswer::AcceptedThenSilence,
            ..Payer::prompt()
        },
    );

    let asking = shop.push(json!({}));
    let paid = tokio::select! {
        _ = asking => panic!("an answer came"),
        paid = shop.outside.mpesa.until(|books| books.paid().next().cloned()) => paid,
    };
    assert_eq!(paid.phone, PHONE);

    shop.outside.stop().await;
}

#[tokio::test]
async fn a_person_scripts_and_reads_the_books_by_http() {
    let mut shop = Shop::open().await;
    let url = shop.outside.url();
    let scenario = shop
        .client
        .post(format!("{url}/pretend/scenario?phone=0712345678"));
    let scenario = scenario.body(r#"{"pin":{"after":0},"paid":{"exactly":"\"999.00\""}}"#);
    assert_eq!(scenario.send().await.unwrap().status(), 200);

    shop.push(json!({})).await.unwrap();
    shop.callbacks.recv().await.unwrap();
    let books = shop
        .client
        .get(format!("{url}/pretend/transactions?phone={PHONE}"));
    let books: Value = books.send().await.unwrap().json().await.unwrap();
    assert_eq!(books[0]["outcome"]["amount"], "\"999.00\"");

    let outage = shop
        .client
        .post(format!("{url}/pretend/outage"))
        .body(r#"{"error":"500.003.02"}"#);
    assert_eq!(outage.send().await.unwrap().status(), 200);
    assert_eq!(
        shop.push(json!({})).await.unwrap_err().1["errorCode"],
        "500.003.02"
    );
}

#[tokio::test]
async fn a_registered_short_code_hears_of_every_payment() {
    let mut shop = Shop::open().await;
    let address = |change: &str| shop.callback_url.replace("/hooks/stk/secret", change);
    let registering = |confirmation: String, product: &str| {
        let body = json!({"ShortCode": "174379", "ResponseType": "Completed",
            "ConfirmationURL": confirmation, "ValidationURL": shop.callback_url});
        let path = format!("/mpesa/c2b/{product}/registerurl");
        async { shop.post_json(&{ path }, body).await }
    };
    let (_, refused) = registering(address("/mpesa/c"), "v2").await.unwrap_err();
    assert_eq!(
        refused["errorMessage"],
        "Bad Request - Invalid ConfirmationURL"
    );
    let (status, _) = registering(shop.callback_url.clone(), "v1")
        .await
        .unwrap_err();
    assert_eq!(status, 401);
    registering(shop.callback_url.clone(), "v2").await.unwrap();
    let (_, again) = registering(shop.callback_url.clone(), "v2")
        .await
        .unwrap_err();
    assert_eq!(again["errorCode"], "500.003.1001");

    let receipt = shop
        .outside
        .mpesa
        .pay_bill("174379", PHONE, "10.50", " a 123")
        .await
        .unwrap();
    let told = shop.callbacks.recv().await.unwrap();
    assert_eq!(
        (&told["TransID"], &told["TransAmount"]),
        (&json!(receipt), &json!("10.50"))
    );
    assert_eq!(told["BillRefNumber"], " a 123");
    assert_eq!(told["MSISDN"].as_str().unwrap().len(), 64);

    shop.outside.mpesa.script(PHONE, Payer::prompt());
    shop.push(json!({})).await.unwrap();
    let mut both = [
        shop.callbacks.recv().await.unwrap(),
        shop.callbacks.recv().await.unwrap(),
    ];
    both.sort_by_key(|body| body.get("TransID").is_some());
    let items = both[0]["Body"]["stkCallback"]["CallbackMetadata"]["Item"].to_string();
    assert!(items.contains(both[1]["TransID"].as_str().unwrap()));
    assert_eq!(shop.outside.mpesa.books().receipts().count(), 2);
}

#[tokio::test]
async fn what_has_moved_is_told_page_by_page() {
    let shop = Shop::open().await;
    let registering = |number: &str| {
        let body = json!({"ShortCode": "174379", "RequestType": "Pull", "NominatedNumber": number,
            "CallBackURL": shop.callback_url});
        shop.post_json("/pulltransactions/v1/register", body)
    };
    let asking = |hours: i64, offset: usize| {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(3));
        let stamp = |at: Timestamp| at.in_zone(&zone).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let now = shop.clock.now();
        let start = Timestamp::from_secs(now.secs() - hours * 3_600);
        let body = json!({"ShortCode": "174379", "StartDate": stamp(start), "EndDate": stamp(now),
            "OffSetValue": offset.to_string()});
        shop.post_json("/pulltransactions/v1/query", body)
    };
    assert_eq!(asking(1, 0).await.unwrap_err().0, 400);
    let (_, refused) = registering("0712").await.unwrap_err();
    assert_eq!(
        refused["errorMessage"],
        "Bad Request - Invalid NominatedNumber"
    );
    registering("254722000000").await.unwrap();

    for _ in 0..21 {
        let mpesa = &shop.outside.mpesa;
        mpesa.pay_bill("174379", PHONE, "10", "A1").await.unwrap();
    }
    let rows = |answer: Value| answer["Response"][0].as_array().unwrap().clone();
    let first = rows(asking(1, 0).await.unwrap());
    let second = rows(asking(1, 20).await.unwrap());
    assert_eq!((first.len(), second.len()), (20, 1));
    assert!(!first.contains(&second[0]));
    for (field, value) in [
        ("billreference", json!("A1")),
        ("amount", json!("10")),
        ("msisdn", json!(254712345678u64)),
    ] {
        assert_eq!(second[0][field], value);
    }
    assert_eq!(rows(asking(1, 21).await.unwrap()), Vec::<Value>::new());
    let (_, refused) = asking(49, 0).await.unwrap_err();
    assert_eq!(refused["errorMessage"], "Bad Request - Invalid StartDate");
}

#[tokio::test]
async fn text_sms_takes_refuses_and_falls_silent() {
    let shop = Shop::open().await;
    let sms = &shop.outside.sms;
    let sending = |mobile: &str, key: &str| {
        shop.post_json(
            "/api/services/sendsms/",
            json!({"apikey": key, "partnerID": "1",
            "message": "Paid", "shortcode": "DEMO", "mobile": mobile}),
        )
    };

    let taken = sending("0712345678", crate::sms::API_KEY).await.unwrap();
    assert_eq!(taken["responses"][0]["respose-code"], 200);
    assert_eq!(sms.message(PHONE, 0).await.text, "Paid");

    sms.script(
        PHONE,
        Texting {
            answer: TextAnswer::Reject(1004),
            ..Texting::default()
        },
    );
    let refused = sending("0712345678", crate::sms::API_KEY).await.unwrap();
    assert_eq!(refused["responses"][0]["respose-code"], 1004);
    let stranger = sending("0712345678", "wrong").await.unwrap();
    assert_eq!(stranger["responses"][0]["respose-code"], 1006);

    sms.script(
        PHONE,
        Texting {
            answer: TextAnswer::AcceptThenSilence,
            ..Texting::default()
        },
    );
    tokio::select! {
        _ = sending("0712345678", crate::sms::API_KEY) => panic!("an answer came"),
        second = sms.message(PHONE, 1) => assert_eq!(second.refused, None),
    }
}

#[tokio::test]
async fn africas_talking_sends_to_a_list() {
    let shop = Shop::open().await;
    let form = [
        ("username", "demo"),
        ("to", "+254712345678,+254711"),
        ("message", "Hello"),
    ];
    let sending = shop
        .client
        .post(format!("{}/version1/messaging", shop.outside.url()));
    let answer = sending
        .header("apiKey", crate::sms::API_KEY)
        .form(&form)
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status(), 201);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["SMSMessageData"]["Recipients"][0]["statusCode"], 101);
    assert_eq!(body["SMSMessageData"]["Recipients"][1]["statusCode"], 403);
    assert_eq!(shop.outside.sms.received(PHONE).len(), 1);
}

/// A merchant with a token and an address for callbacks.
struct Shop {
    outside: Outside,
    client: reqwest::Client,
    clock: Clock,
    zone: i8,
    token: String,
    callback_url: String,
    callbacks: mpsc::Receiver<Value>,
}

impl Shop {
    async fn open() -> Shop {
        Shop::open_on(Clock::system()).await
    }

    async fn open_on(clock: Clock) -> Shop {
        let free = "127.0.0.1:0".parse().unwrap();
        let outside = Outside::start_on(free, clock.clone(), Entropy::seeded(1))
            .await
            .unwrap();
        let (sender, callbacks) = mpsc::channel(64);
        let take = |State(sender): State<mpsc::Sender<Value>>, Json(body): Json<Value>| async move {
            sender.try_send(body).unwrap();
            Json(json!({"ResultCode": 0, "ResultDesc": "Accepted"}))
        };
        let routes = Router::new()
            .route("/hooks/stk/secret", post(take))
            .with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let callback_url = format!("http://{}/hooks/stk/secret", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let token = Shop::token(&outside, &App::demo()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Shop {
            outside,
            client,
            clock,
            zone: 3,
            token,
            callback_url,
            callbacks,
        }
    }

    async fn with_new_token(self) -> Shop {
        let token = Shop::token(&self.outside, &App::demo()).await.unwrap();
        Shop { token, ..self }
    }

    async fn token(outside: &Outside, app: &App) -> Result<String, (u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!(
            "{}/oauth/v1/generate?grant_type=client_credentials",
            outside.url()
        );
        let body = read(client.get(url).basic_auth(&app.key, Some(&app.secret))).await?;
        assert_eq!(body["expires_in"], "3599");
        Ok(body["access_token"].as_str().unwrap().to_owned())
    }

    /// A push of 1000 for [`PHONE`], with `changes` over its fields.
    async fn push(&self, changes: Value) -> Result<Value, (u16, Value)> {
        let mut body = self.signed(json!({"TransactionType": "CustomerPayBillOnline", "Amount": 1000,
            "PartyA": PHONE, "PartyB": "174379", "PhoneNumber": PHONE, "CallBackURL": self.callback_url,
            "AccountReference": "10000008-1", "TransactionDesc": "Internet"}));
        for (field, value) in changes.as_object().unwrap() {
            body[field] = value.clone();
        }
        self.post_json("/mpesa/stkpush/v1/processrequest", body)
            .await
    }

    async fn query(&self, checkout: &str) -> Result<Value, (u16, Value)> {
        let body = self.signed(json!({"CheckoutRequestID": checkout}));
        self.post_json("/mpesa/stkpushquery/v1/query", body).await
    }

    fn signed(&self, mut body: Value) -> Value {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(self.zone));
        let stamp = self
            .clock
            .now()
            .in_zone(&zone)
            .strftime("%Y%m%d%H%M%S")
            .to_string();
        let app = App::demo();
        body["Password"] = json!(BASE64.encode(format!("{}{}{stamp}", app.shortcode, app.passkey)));
        body["BusinessShortCode"] = json!(app.shortcode);
        body["Timestamp"] = json!(stamp);
        body
    }

    async fn post_json(&self, path: &str, body: Value) -> Result<Value, (u16, Value)> {
        let url = format!("{}{path}", self.outside.url());
        read(self.client.post(url).bearer_auth(&self.token).json(&body)).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value, (u16, Value)> {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body = answer.json().await.unwrap();
    if status.is_success() {
        Ok(body)
    } else {
        Err((status.as_u16(), body))
    }
}
