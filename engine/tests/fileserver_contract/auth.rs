//! Passwords and user tokens.

use crate::http::{Request, TOKEN, plik, plik_with};

const MISSING: &str = "please provide valid credentials to access this upload : missing Authorization header";
const INVALID: &str = "please provide valid credentials to access this upload : invalid credentials";

/// base64 of `login:secret`.
const LOGIN_SECRET: &str = "Basic bG9naW46c2VjcmV0";

#[tokio::test]
async fn a_protected_upload_wants_basic_credentials_for_reading() {
    let plik = plik().await;
    let created = plik.try_create(r#"{"login":"login","password":"secret"}"#).await;
    assert_eq!(created.header("authorization"), Some(LOGIN_SECRET), "handed back for the next request");
    let json = created.json();
    assert_eq!(json["protectedByPassword"], true);
    assert!(json.get("password").is_none() && json.get("login").is_none());
    let upload = crate::http::Upload {
        id: json["id"].as_str().unwrap().into(),
        token: json["uploadToken"].as_str().unwrap().into(),
    };
    let file = plik.put(&upload, "a", b"hello").await;
    for path in [file.clone(), format!("/upload/{}", upload.id)] {
        let reply = plik.get(&path).await;
        reply.assert_error(401, MISSING);
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"plik\""));
        let with = |value: &str| Request::new("GET", &path).header("Authorization", value);
        plik.send(with("Basic bG9naW46d3Jvbmc=")).await.assert_error(401, INVALID);
        let invalid =
            "please provide valid credentials to access this upload : invalid http authorization scheme";
        plik.send(with("Bearer bG9naW46c2VjcmV0")).await.assert_error(401, invalid);
        let malformed =
            "please provide valid credentials to access this upload : invalid Authorization header";
        plik.send(with("Basic")).await.assert_error(401, malformed);
        assert_eq!(plik.send(with(LOGIN_SECRET)).await.status, 200);
        let by_token = Request::new("GET", &path).header(TOKEN, &upload.token);
        assert_eq!(plik.send(by_token).await.status, 200, "the upload token bypasses the password");
    }
    assert_eq!(plik.send(Request::new("GET", &file).agent("Mozilla")).await.status, 401, "never a redirect");
}

#[tokio::test]
async fn a_password_alone_does_not_allow_adding() {
    let plik = plik().await;
    let upload = plik.create(r#"{"login":"login","password":"secret"}"#).await;
    let request = Request::new("POST", &format!("/file/{}", upload.id)).header("Authorization", LOGIN_SECRET);
    let refused = "you are not allowed to add file to this upload";
    plik.send(request.form("a", b"x")).await.assert_error(403, refused);
}

#[tokio::test]
async fn a_login_without_a_password_protects_nothing() {
    let plik = plik().await;
    let created = plik.try_create(r#"{"login":"login"}"#).await;
    assert_eq!(
        (created.json()["protectedByPassword"].as_bool(), created.header("authorization")),
        (Some(false), None)
    );
}

#[tokio::test]
async fn a_password_without_a_login_belongs_to_plik_and_the_returned_header_fails() {
    let plik = plik().await;
    let created = plik.try_create(r#"{"password":"secret"}"#).await;
    let path = format!("/upload/{}", created.json()["id"].as_str().unwrap());
    let returned = created.header("authorization").unwrap();
    assert_eq!(returned, "Basic OnNlY3JldA==");
    let get = |value: &str| plik.send(Request::new("GET", &path).header("Authorization", value));
    get(returned).await.assert_error(401, INVALID);
    assert_eq!(get("Basic cGxpazpzZWNyZXQ=").await.status, 200, "plik:secret");
}

#[tokio::test]
async fn a_user_token_is_ignored_while_authentication_is_off() {
    let plik = plik().await;
    let reply = plik.send(Request::new("POST", "/upload").header("X-PlikToken", "whatever")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(plik.get("/config").await.json()["feature_authentication"], "disabled");
}

#[tokio::test]
async fn a_user_token_owns_the_uploads_made_with_it() {
    let plik = plik_with(|builder| builder.user_token("tok-1".into())).await;
    assert_eq!(plik.get("/config").await.json()["feature_authentication"], "enabled");
    let with = |method: &str, path: &str| Request::new(method, path).header("X-PlikToken", "tok-1");
    let owned = plik.send(with("POST", "/upload")).await.json();
    let id = owned["id"].as_str().unwrap();
    let add = plik.send(with("POST", &format!("/file/{id}")).form("a", b"hello")).await;
    assert_eq!(add.status, 200);
    assert_eq!(plik.send(with("GET", &format!("/upload/{id}"))).await.json()["admin"], true);
    assert_eq!(plik.send(with("DELETE", &format!("/upload/{id}"))).await.text(), "ok");

    let anonymous = plik.create("").await;
    let add = plik.send(with("POST", &format!("/file/{}", anonymous.id)).form("a", b"x")).await;
    add.assert_error(403, "you are not allowed to add file to this upload");
}

#[tokio::test]
async fn a_wrong_user_token_is_403() {
    let plik = plik_with(|builder| builder.user_token("tok-1".into())).await;
    let upload = plik.create("").await;
    let wrong = |method: &str, path: &str| Request::new(method, path).header("X-PlikToken", "tok-2");
    plik.send(wrong("POST", "/upload")).await.assert_error(403, "invalid token");
    plik.send(wrong("GET", &format!("/upload/{}", upload.id))).await.assert_error(403, "invalid token");
    plik.send(wrong("GET", "/file/u/f/n")).await.assert_error(403, "invalid token");
    assert_eq!(plik.send(wrong("GET", "/config")).await.status, 200, "read on other routes only");
}

#[tokio::test]
async fn anonymous_uploads_can_be_forbidden() {
    let plik = plik_with(|builder| builder.user_token("tok-1".into()).anonymous_uploads(false)).await;
    let refused = "unable to create upload : anonymous uploads are disabled";
    plik.try_create("").await.assert_error(400, refused);
    plik.send(Request::new("POST", "/").form("a", b"x")).await.assert_error(400, refused);
    assert_eq!(plik.send(Request::new("POST", "/upload").header("X-PlikToken", "tok-1")).await.status, 200);
}

#[tokio::test]
async fn account_routes_want_a_login_that_does_not_exist_here() {
    let plik = plik().await;
    assert_eq!(plik.get("/me").await.status, 401);
    assert_eq!(plik.get("/me/uploads").await.status, 401);
}
