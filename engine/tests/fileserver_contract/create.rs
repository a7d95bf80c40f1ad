//! `POST /upload` and `GET /upload/{id}`.

use serde_json::{Value, json};

use crate::http::{Request, plik, plik_with};

#[tokio::test]
async fn an_empty_body_or_null_creates_an_upload_with_the_defaults() {
    let plik = plik().await;
    for body in ["", "null", "{}"] {
        let reply = plik.try_create(body).await;
        assert_eq!(reply.status_line, "HTTP/1.1 200 OK");
        let upload = reply.json();
        let letters =
            |key: &str| upload[key].as_str().unwrap().bytes().filter(u8::is_ascii_alphanumeric).count();
        assert_eq!((letters("id"), letters("uploadToken")), (16, 32));
        assert_eq!(upload["ttl"], 2_592_000);
        assert_eq!(upload["files"], Value::Null, "null here, [] in GET /upload");
        assert_eq!(upload["admin"], true);
        assert_eq!((&upload["downloadDomain"], &upload["comments"]), (&json!(""), &json!("")));
        for flag in ["oneShot", "removable", "stream", "extend_ttl", "protectedByPassword"] {
            assert_eq!(upload[flag], false, "{flag}");
        }
        for date in ["createdAt", "expireAt"] {
            assert!(upload[date].as_str().unwrap().ends_with('Z'), "{upload}");
        }
    }
}

#[tokio::test]
async fn json_answers_are_typed_as_plain_text() {
    let plik = plik().await;
    let reply = plik.try_create("").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(reply.header("x-content-type-options"), None);
    for path in ["/config", "/version", &format!("/upload/{}", reply.json()["id"].as_str().unwrap())] {
        assert_eq!(plik.get(path).await.header("content-type"), Some("text/plain; charset=utf-8"), "{path}");
    }
}

#[tokio::test]
async fn keys_match_in_any_letter_case_and_unknown_ones_are_ignored() {
    let plik = plik().await;
    for key in ["oneShot", "OneShot", "oneshot", "ONESHOT"] {
        let upload = plik.try_create(&format!(r#"{{"{key}":true,"nonsense":[1]}}"#)).await.json();
        assert_eq!(upload["oneShot"], true, "{key}");
    }
    let upload = plik.try_create(r#"{"Comments":"*hi*","TTL":60,"REMOVABLE":true}"#).await.json();
    assert_eq!(
        (&upload["comments"], &upload["ttl"], &upload["removable"]),
        (&json!("*hi*"), &json!(60), &json!(true))
    );
}

#[tokio::test]
async fn an_id_or_token_from_the_client_is_ignored() {
    let plik = plik().await;
    let upload = plik.try_create(r#"{"id":"mine","uploadToken":"mine","admin":false}"#).await.json();
    assert_ne!(upload["id"], "mine");
    assert_ne!(upload["uploadToken"], "mine");
    assert_eq!(upload["admin"], true);
}

#[tokio::test]
async fn wrong_types_and_broken_json_are_400() {
    let plik = plik().await;
    let bad = [
        r#"{"ttl":"60"}"#,
        r#"{"ttl":1.5}"#,
        r#"{"ttl":99999999999999999999}"#,
        r#"{"oneShot":"yes"}"#,
        r#"{"comments":1}"#,
        r#"{"files":"a"}"#,
        r#"{"files":[1]}"#,
        r#"{"files":[{"fileName":1}]}"#,
        r#"{"id":1}"#,
        "[]",
        "1",
        "{",
        "{} {}",
        " ",
        "\u{0}",
    ];
    for body in bad {
        let reply = plik.try_create(body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert!(reply.text().starts_with("unable to deserialize request body : "), "{body}: {reply:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(plik.try_create(&deep).await.status, 400);
}

#[tokio::test]
async fn null_values_are_as_if_absent() {
    let plik = plik().await;
    let upload = plik.try_create(r#"{"ttl":null,"oneShot":null,"files":null,"comments":null}"#).await.json();
    assert_eq!((&upload["ttl"], &upload["oneShot"]), (&json!(2_592_000), &json!(false)));
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_400() {
    let plik = plik().await;
    let body = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    let at_limit = plik.try_create(&body(1_048_576)).await;
    assert!(at_limit.text().starts_with("unable to deserialize"), "{at_limit:?}");
    let over = plik.try_create(&body(1_048_577)).await;
    over.assert_error(400, "unable to read request body : http: request body too large");
    assert_eq!(over.header("connection"), Some("close"));
}

#[tokio::test]
async fn ttl_follows_the_default_and_the_maximum() {
    let plik = plik().await;
    let ttl = async |json: &str| plik.try_create(json).await;
    assert_eq!(ttl(r#"{"ttl":0}"#).await.json()["ttl"], 2_592_000);
    assert_eq!(ttl(r#"{"ttl":2592000}"#).await.json()["ttl"], 2_592_000);
    ttl(r#"{"ttl":2592001}"#)
        .await
        .assert_error(400, "unable to create upload : invalid TTL. (maximum allowed is : 2592000)");
    ttl(r#"{"ttl":-1}"#).await.assert_error(
        400,
        "unable to create upload : cannot set infinite TTL (maximum allowed is : 2592000)",
    );
}

#[tokio::test]
async fn a_negative_ttl_is_for_ever_where_no_maximum_is_set() {
    let plik = plik_with(|builder| builder.max_ttl(None)).await;
    let upload = plik.try_create(r#"{"ttl":-5}"#).await.json();
    assert_eq!((&upload["ttl"], &upload["expireAt"]), (&json!(-1), &Value::Null));
    assert!(plik.try_create(r#"{"ttl":9223372036854775807}"#).await.json()["expireAt"].is_string());
}

#[tokio::test]
async fn disabled_features_are_refused_and_comments_dropped() {
    let plik =
        plik_with(|builder| builder.one_shot(false).removable(false).password(false).comments(false)).await;
    let cases = [
        (r#"{"oneShot":true}"#, "one shot uploads are disabled"),
        (r#"{"removable":true}"#, "removable uploads are disabled"),
        (r#"{"stream":true}"#, "streaming uploads are disabled"),
        (r#"{"extend_ttl":true}"#, "extend TTL is disabled"),
        (r#"{"login":"a","password":"b"}"#, "upload password protection is disabled"),
    ];
    for (json, reason) in cases {
        plik.try_create(json).await.assert_error(400, &format!("unable to create upload : {reason}"));
    }
    assert_eq!(plik.try_create(r#"{"comments":"x"}"#).await.json()["comments"], "");
}

#[tokio::test]
async fn a_ttl_is_ignored_where_setting_it_is_disabled() {
    let plik = plik_with(|builder| builder.set_ttl(false)).await;
    assert_eq!(plik.try_create(r#"{"ttl":60}"#).await.json()["ttl"], 2_592_000);
}

#[tokio::test]
async fn declared_files_get_ids_and_are_missing() {
    let plik = plik().await;
    let json = r#"{"files":[{"fileName":"a.txt","fileSize":3,"fileType":"text/x","reference":"7"},{"FILENAME":"b"}]}"#;
    let files = plik.try_create(json).await.json()["files"].as_array().unwrap().clone();
    assert_eq!(files.len(), 2);
    assert_eq!(files[0]["id"].as_str().unwrap().len(), 16);
    let expected = json!({"fileName":"a.txt","fileSize":3,"fileType":"text/x","reference":"7","status":"missing","fileMd5":""});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&files[0][key], value);
    }
    assert_eq!(files[1]["fileName"], "b");
    plik.try_create(r#"{"files":[{}]}"#)
        .await
        .assert_error(400, "unable to create upload : missing file name");
}

#[tokio::test]
async fn a_files_object_selects_the_legacy_format() {
    let plik = plik().await;
    let upload = plik.try_create(r#"{"files":{"0":{"fileName":"a","reference":"0"}}}"#).await.json();
    assert!(upload["uploadDate"].is_i64());
    assert!(upload.get("createdAt").is_none());
    let (id, file) = upload["files"].as_object().unwrap().iter().next().unwrap();
    assert_eq!((file["id"].as_str(), &file["reference"]), (Some(&**id), &json!("0")));
}

#[tokio::test]
async fn an_upload_shows_its_token_to_its_administrator_only() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let path = format!("/upload/{}", upload.id);
    let public = plik.get(&path).await.json();
    assert_eq!((&public["admin"], public.get("uploadToken")), (&json!(false), None));
    assert_eq!(public["files"], json!([]));
    let own = plik.send(Request::new("GET", &path).header("X-UploadToken", &upload.token)).await.json();
    assert_eq!((&own["admin"], &own["uploadToken"]), (&json!(true), &json!(upload.token)));
    let wrong = plik.send(Request::new("GET", &path).header("X-UploadToken", "wrong")).await;
    assert_eq!((wrong.status, wrong.json()["admin"].clone()), (200, json!(false)), "ignored on public reads");
}

#[tokio::test]
async fn an_unknown_upload_is_404() {
    let plik = plik().await;
    plik.get("/upload/nope").await.assert_error(404, "upload nope not found");
}

#[tokio::test]
async fn what_describes_an_upload_has_a_longest_length() {
    let plik = plik().await;
    let text = |len: usize| "x".repeat(len);
    let file = |key: &str, len: usize| json!({"files": [{"fileName": "a", key: text(len)}]});
    let files = |last: usize| {
        let mut files = vec![json!({"fileName": text(1024)}); 255];
        files.extend([json!({"fileName": text(1023)}), json!({"fileName": text(last)})]);
        json!({"files": files})
    };
    for (what, fits, over) in [
        ("comments", json!({"comments": text(4096)}), json!({"comments": text(4097)})),
        ("login", json!({"login": text(1024)}), json!({"login": text(1025)})),
        ("password", json!({"password": text(1024)}), json!({"password": text(1025)})),
        ("fileType", file("fileType", 1024), file("fileType", 1025)),
        ("reference", file("reference", 1024), file("reference", 1025)),
        ("files", files(1), files(2)),
    ] {
        assert_eq!(plik.try_create(&fits.to_string()).await.status_line, "HTTP/1.1 200 OK", "{what}");
        let refused = plik.try_create(&over.to_string()).await;
        assert_eq!(refused.status_line, "HTTP/1.1 400 Bad Request", "{what}");
        let text = refused.text();
        assert!(text.starts_with("unable to create upload : ") && text.contains(what), "{text}");
    }
}
