//! Routes, methods, and what is answered where there is none.

use tokio::io::AsyncWriteExt;

use crate::http::{Request, TOKEN, plik, plik_with, read_reply};

#[tokio::test]
async fn a_wrong_method_is_405_with_an_empty_body() {
    let plik = plik().await;
    let wrong = [
        ("GET", "/"),
        ("GET", "/upload"),
        ("PUT", "/upload/x"),
        ("GET", "/file/x"),
        ("PUT", "/file/x/y/z"),
        ("POST", "/version"),
        ("HEAD", "/version"),
        ("OPTIONS", "/upload"),
        ("PATCH", "/config"),
    ];
    for (method, path) in wrong {
        let reply = plik.send(Request::new(method, path)).await;
        assert_eq!((reply.status, reply.body.len()), (405, 0), "{method} {path}");
    }
}

#[tokio::test]
async fn an_unknown_path_or_a_trailing_slash_is_404() {
    let plik = plik().await;
    for path in [
        "/nope",
        "/upload/",
        "/version/",
        "/upload/x/",
        "/file/",
        "/file/u/f",
        "/file/u/f/n/m",
        "/archive/u/a.zip",
    ] {
        plik.get(path).await.assert_error(404, "404 page not found");
    }
    plik.get("/file/u/f/a%2Fb").await.assert_error(404, "404 page not found");
}

#[tokio::test]
async fn an_unclean_path_is_301_to_the_clean_one() {
    let plik = plik().await;
    for (path, clean) in [
        ("//upload/x", "/upload/x"),
        ("/a/../version?q=1", "/version?q=1"),
        ("/upload//a%20b/", "/upload/a%20b/"),
    ] {
        let reply = plik.get(path).await;
        assert_eq!(
            (reply.status, reply.header("location"), reply.body.len()),
            (301, Some(clean), 0),
            "{path}"
        );
    }
}

#[tokio::test]
async fn config_names_the_limits_and_features() {
    let plik =
        plik_with(|builder| builder.max_file_size(1_000_000).max_files_per_upload(5).one_shot(false)).await;
    let config = plik.get("/config").await.json();
    assert_eq!((&config["maxFileSize"], &config["maxFilePerUpload"]), (&1_000_000.into(), &5.into()));
    assert_eq!((&config["defaultTTL"], &config["maxTTL"]), (&2_592_000.into(), &2_592_000.into()));
    assert_eq!(config["maxUserSize"], -1);
    let features = [
        ("one_shot", "disabled"),
        ("removable", "enabled"),
        ("stream", "disabled"),
        ("password", "enabled"),
        ("comments", "enabled"),
        ("set_ttl", "enabled"),
        ("extend_ttl", "disabled"),
        ("authentication", "disabled"),
    ];
    for (feature, state) in features {
        assert_eq!(config[format!("feature_{feature}")], state, "{feature}");
    }
    assert_eq!((&config["oneShot"], &config["removable"]), (&false.into(), &true.into()));
    let unlimited = plik_with(|builder| builder.max_file_size(u64::MAX).max_ttl(None)).await;
    let config = unlimited.get("/config").await.json();
    assert_eq!((&config["maxFileSize"], &config["maxTTL"]), (&(-1).into(), &0.into()));
}

#[tokio::test]
async fn version_and_health_answer() {
    let plik = plik().await;
    assert_eq!(plik.get("/version").await.json()["version"], "1.3.8");
    assert_eq!(plik.get("/health").await.text(), "ok\n");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let plik = plik().await;
    let upload = plik.create("").await;
    let mut stream = plik.connect().await;
    for round in 0..3u8 {
        let add = Request::new("POST", &format!("/file/{}", upload.id)).without("Connection");
        stream.write_all(&add.header(TOKEN, &upload.token).form("a", &[round; 1000]).bytes()).await.unwrap();
        let file = read_reply(&mut stream).await.json();
        let path = format!("/file/{}/{}/a", upload.id, file["id"].as_str().unwrap());
        stream.write_all(&Request::new("GET", &path).without("Connection").bytes()).await.unwrap();
        assert_eq!(read_reply(&mut stream).await.body, [round; 1000]);
    }
}
