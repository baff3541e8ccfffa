//! What the validator of the tests says of this plug-in, with an engine at hand. `CHECK_LEVEL` has it go
//! further than to level 8, up to 10, which takes its time.

use std::process::Command;

use serde_json::Value;

use crate::workshop::{alone, built};

alone! {
    fn no_fault_is_found_up_to_level_8(workshop) {
        let level = std::env::var("CHECK_LEVEL").unwrap_or_else(|_| "8".to_owned());
        // Beside other work, what goes on for minutes may take an hour.
        let patience = if level.parse::<u32>().unwrap() > 8 { "3600" } else { "600" };
        let json = workshop.at("results.json");
        let output = Command::new(built("check-ofx"))
            .arg(workshop.bundle())
            .args(["--level", &level, "--patience", patience, "--set", "prompt=a ring of smoke", "--json"])
            .arg(&json)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        let results: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        let checks = results["plugins"][0]["checks"].as_array().unwrap();
        // Which C library a plug-in needs is up to how it is built for others.
        let advice: Vec<_> = checks
            .iter()
            .filter(|check| check["outcome"] != "passed" && check["id"] != "load.libraries")
            .collect();
        assert_eq!(advice, [&Value::Null; 0], "{told}");
        assert_eq!(checks.last().map(|check| &check["level"]), Some(&Value::from(level.parse::<u32>().unwrap())));
        assert!(checks.len() > 50, "{}", checks.len());
        // Buttons were pressed, and answered with takes.
        assert!(!workshop.takes().is_empty());
    }
}
