//! The evidence report: page, CSV and JSON say the same, and what adds up does.

use crate::agent::{boat, run};
use crate::world::World;
use schema::{Class, Outcome, Summary};
use serde_json::{Value, json};

fn sum(list: &Value) -> u64 {
    list.as_array().unwrap().iter().map(|line| line["hosts"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn page_csv_and_json_say_the_same_and_add_up() {
    let world = World::new();
    let client = world.admin().await;
    let _boat = boat(&world, &client).await;
    for name in ["attic", "shed"] {
        client.post("/api/hosts", &json!({"name": name, "labels": []})).await.expect(201);
    }
    let report = client.get("/api/report").await.expect(200).json();
    assert_eq!(report["hosts_total"], 3);
    for list in ["by_status", "by_proof"] {
        assert_eq!(sum(&report[list]), 3, "{list}: {report}");
    }
    let hosts = report["hosts"].as_array().unwrap();
    let names: Vec<&str> = hosts.iter().map(|host| host["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["attic", "boat-pi", "shed"]);
    assert_eq!((&hosts[1]["proof_status"], &hosts[1]["proof_every"]), (&json!("waiting"), &json!("30 days")));

    let csv = client.get("/report.csv").await.expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let columns = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() >= columns), "{lines:?}");
    for (line, name) in lines[1..].iter().zip(names) {
        assert!(line.starts_with(&format!("{name},")), "{line}");
    }
    let page = client.get("/report").await.expect(200);
    assert!(page.text.contains("of 3 hosts protected, 0 proven"), "{}", page.text);
    assert!(page.text.contains("href=\"/report.csv\""));
    world.stranger().get("/api/report").await.expect(401);
}

#[tokio::test]
async fn what_happened_is_of_the_last_week_or_month_as_it_is_asked_for() {
    let world = World::new();
    let client = world.admin().await;
    let mut boat = boat(&world, &client).await;
    let job = run(&client, &format!("/api/hosts/{}/groups/logbook/backup", boat.host)).await;
    boat.start(&world, job).await;
    boat.finish(&world, job, Outcome::Failed, Some(Class::Network), "no way there", Summary::None).await;
    // Its end is not in a period that ends with it.
    world.pass(60_000);
    let period = client.get("/api/report").await.expect(200).json()["period"].clone();
    assert_eq!(
        (&period["backups"]["ended"], &period["backups"]["failed"]),
        (&2.into(), &1.into()),
        "{period}"
    );
    assert_eq!(
        (&period["failures"][0]["cause"], &period["failures"][0]["count"]),
        (&"network".into(), &1.into())
    );
    assert_eq!((&period["before"], &period["hosts_added"]), (&Value::Null, &json!(["boat-pi"])));
    let of_month = client.get("/api/report?days=30").await.expect(200).json()["period"].clone();
    assert!(of_month["from"].as_str() < period["from"].as_str(), "{of_month}");
    for path in ["/api/report?days=8", "/report?days=x"] {
        client.get(path).await.expect(422);
    }
    client.get("/api/report?weeks=1").await.expect(422);
    let page = client.get("/report?days=30").await.expect(200).text;
    assert!(page.contains("Of 2 backups 1 ended well (50.0\u{a0}%)"), "{page}");
    assert!(page.contains("href=\"/report?days=30\" aria-current=\"true\""), "{page}");
    let csv = client.get("/report.csv").await.expect(200).text;
    assert!(csv.lines().next().unwrap().ends_with(",storage,agent_version,restic_version"), "{csv}");
}
