//! An operator at the HTTP API: signs in and does what a person at the console would.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A signed-in operator.
#[derive(Clone)]
pub struct Operator {
    base: String,
    token: String,
    password: String,
    http: reqwest::Client,
}

impl Operator {
    /// Registers a new provider; the answer is its owner.
    pub async fn register(
        api: SocketAddr,
        business: &str,
        email: &str,
        password: &str,
    ) -> Result<Operator> {
        let body = json!({
            "name": format!("{business} owner"),
            "email": email,
            "password": password,
            "businessName": business,
        });
        Operator::enter(api, "/auth/register", &body).await
    }

    /// Signs in.
    pub async fn login(api: SocketAddr, email: &str, password: &str) -> Result<Operator> {
        Operator::enter(
            api,
            "/auth/login",
            &json!({"email": email, "password": password}),
        )
        .await
    }

    async fn enter(api: SocketAddr, path: &str, body: &Value) -> Result<Operator> {
        let nobody = Operator {
            base: format!("http://{api}/api"),
            token: String::new(),
            password: body["password"].as_str().unwrap_or_default().to_owned(),
            http: http_client(),
        };
        let answer = nobody.post(path, body).await?;
        let token = answer["token"]
            .as_str()
            .context("the answer has a token")?
            .to_owned();
        Ok(Operator { token, ..nobody })
    }

    /// The bearer token, for what this type has no word for.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Shows the password again, as what cannot be taken back asks for.
    pub async fn confirm(&self) -> Result<()> {
        let again = json!({"password": self.password});
        self.post("/auth/confirm", &again).await?;
        Ok(())
    }

    /// A program with this key, at the same API.
    pub fn with_key(&self, key: &str) -> Operator {
        Operator {
            token: key.to_owned(),
            ..self.clone()
        }
    }

    /// `GET`; anything but success is an error that shows the answer.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.expect_success(Method::GET, path, None).await
    }

    /// `POST`; anything but success is an error that shows the answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.expect_success(Method::POST, path, Some(body)).await
    }

    /// `PUT`; anything but success is an error that shows the answer.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.expect_success(Method::PUT, path, Some(body)).await
    }

    /// Any method, any answer: what a story about refusals wants.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok((status, value))
    }

    async fn expect_success(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let (status, answer) = self.call(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path} answered {status}: {answer}");
        }
        Ok(answer)
    }

    /// Sells a PPPoE package of `mbps` both ways for a calendar month.
    pub async fn add_package(
        &self,
        name: &str,
        mbps: u32,
        price: u32,
        devices: u32,
    ) -> Result<String> {
        let package = json!({
            "name": name, "type": "PPPOE", "price": price,
            "downloadSpeed": mbps, "uploadSpeed": mbps, "devices": devices,
        });
        id_of(self.post("/packages", &package).await?)
    }

    /// Adds a router whose RADIUS requests come from `source`, with CoA on `coa_port`.
    pub async fn add_router(
        &self,
        name: &str,
        source: &str,
        secret: &str,
        coa_port: u16,
    ) -> Result<String> {
        let router = json!({
            "name": name, "ipAddress": "127.0.0.1", "sourceNetwork": source,
            "secret": secret, "coaPort": coa_port,
        });
        id_of(self.post("/nas", &router).await?)
    }

    /// The same at another site than the first.
    pub async fn add_router_at(
        &self,
        site: &str,
        name: &str,
        source: &str,
        secret: &str,
        coa_port: u16,
    ) -> Result<String> {
        let router = json!({
            "name": name, "ipAddress": "127.0.0.1", "sourceNetwork": source,
            "secret": secret, "coaPort": coa_port, "siteId": site,
        });
        id_of(self.post("/nas", &router).await?)
    }

    /// Says how a router's API is entered.
    pub async fn set_router_api(
        &self,
        router: &str,
        user: &str,
        password: &str,
        port: u16,
    ) -> Result<()> {
        let api = json!({"apiUsername": user, "apiPassword": password, "apiPort": port});
        self.put(&format!("/nas/{router}"), &api).await?;
        Ok(())
    }

    /// Signs a PPPoE subscriber up whose password is his name.
    pub async fn add_customer(
        &self,
        username: &str,
        package: &str,
        phone: &str,
        expires_at: &str,
    ) -> Result<String> {
        let customer = json!({
            "username": username, "password": username, "name": format!("Customer {username}"),
            "phone": phone, "connectionType": "PPPOE", "packageId": package, "expiresAt": expires_at,
        });
        id_of(self.post("/customers", &customer).await?)
    }

    /// Sets up the pretend M-Pesa's default merchant as this provider's pay bill.
    pub async fn add_paybill(&self) -> Result<String> {
        let app = crate::mpesa::App::demo();
        let gateway = json!({
            "type": "MPESA_API", "subType": "PAYBILL", "name": "Pay bill", "shortcode": app.shortcode,
            "storeNumber": "", "accountNumber": "",
            "consumerKey": app.key, "consumerSecret": app.secret, "passkey": app.passkey,
            "env": "sandbox", "isDefault": true, "forHotspot": true, "forPppoe": true,
        });
        id_of(self.post("/payment-gateways", &gateway).await?)
    }

    /// Names who asks in the first gateway's name.
    pub async fn name_initiator(&self) -> Result<()> {
        let app = crate::mpesa::App::demo();
        let gateways = self.get("/payment-gateways").await?;
        let id = gateways[0]["id"].as_str().context("a gateway")?;
        let initiator =
            json!({"initiatorName": app.initiator, "initiatorPassword": app.initiator_password});
        self.put(&format!("/payment-gateways/{id}"), &initiator)
            .await?;
        Ok(())
    }

    /// Sends a payment prompt to the customer's phone; returns the checkout request id.
    pub async fn ask_to_pay(&self, customer: &str, amount: u32) -> Result<String> {
        let answer = self
            .post(
                "/payments/mpesa/stk",
                &json!({"customerId": customer, "amount": amount}),
            )
            .await?;
        Ok(answer["checkoutRequestId"]
            .as_str()
            .context("a checkout request id")?
            .to_owned())
    }

    /// A one-time token with which an agent joins the provider's first site.
    pub async fn join_token(&self) -> Result<String> {
        let sites = self.get("/sites").await?;
        let site = sites["sites"][0]["id"].as_str().context("a first site")?;
        self.join_token_of(site).await
    }

    /// The same at this site.
    pub async fn join_token_of(&self, site: &str) -> Result<String> {
        let path = format!("/sites/{site}/join-token");
        let (status, answer) = self.call(Method::POST, &path, Some(&json!({}))).await?;
        let answer = match status {
            StatusCode::CREATED => answer,
            // He signed in more than five minutes ago, perhaps.
            _ => {
                self.confirm().await?;
                self.post(&path, &json!({})).await?
            }
        };
        Ok(answer["token"].as_str().context("a join token")?.to_owned())
    }
}

fn id_of(answer: Value) -> Result<String> {
    Ok(answer["id"]
        .as_str()
        .context("the answer has an id")?
        .to_owned())
}

/// A client for addresses of our own: no proxy, no root store.
pub fn http_client() -> reqwest::Client {
    // Whoever came first has installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        // Sooner than the server: a request never goes out on a connection that is just being closed.
        .pool_idle_timeout(std::time::Duration::from_secs(2))
        .build()
        .expect("a client without a root store can always be built")
}
