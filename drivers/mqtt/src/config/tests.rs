use super::*;

fn broker() -> BrokerConfig {
    BrokerConfig {
        host: "localhost".into(),
        port: 1883,
        client_id: "tripline-1".into(),
        username: None,
        password: None,
        tls: None,
        keep_alive: DurNs::from_ms(5_000),
        connect_timeout: DurNs::from_ms(1_000),
        backoff: BackoffConfig {
            min: DurNs::from_ms(100),
            max: DurNs::from_ms(5_000),
            seed: 1,
        },
    }
}

fn subscription(topic: &str) -> Subscription {
    Subscription {
        topic: topic.into(),
        qos: 1,
        fields: vec![Field {
            tag: TagId(1),
            extract: Extract::Number,
            codec: ValueCodec::plain(drivers_frame::ValueType::F64),
        }],
        envelope: None,
    }
}

fn check(subscriptions: Vec<Subscription>) -> Result<(), ConfigError> {
    SubscriberConfig {
        device: DeviceId(0),
        broker: broker(),
        subscriptions,
        waveforms: Vec::new(),
    }
    .check()
}

#[test]
fn keep_alive_zero_and_fractions_are_refused() {
    for ms in [0, 1, 999, 1_500, 65_536_000] {
        let config = BrokerConfig {
            keep_alive: DurNs::from_ms(ms),
            ..broker()
        };
        let error = config.check().unwrap_err();
        assert_eq!(error, ConfigError::KeepAlive(DurNs::from_ms(ms)), "H-23");
        assert!(error.to_string().contains("whole seconds"), "{error}");
    }
    assert_eq!(broker().keep_alive_s(), Ok(5));
}

#[test]
fn wildcards_are_refused_for_sensors() {
    for topic in ["plant/+/t", "plant/#", "#", ""] {
        assert!(
            matches!(
                check(vec![subscription(topic)]),
                Err(ConfigError::Topic { .. })
            ),
            "H-20: {topic}"
        );
    }
}

#[test]
fn topics_fields_and_qos_are_checked() {
    assert_eq!(check(vec![]), Err(ConfigError::SubscriptionCount(0)));
    assert_eq!(
        check(vec![
            subscription("a"),
            subscription("b"),
            subscription("a")
        ]),
        Err(ConfigError::TopicTwice("a".into()))
    );
    let mut bare = subscription("a");
    bare.fields.clear();
    assert!(matches!(
        check(vec![bare]),
        Err(ConfigError::FieldCount { fields: 0, .. })
    ));
    let mut twice = subscription("a");
    twice.qos = 2;
    assert!(matches!(
        check(vec![twice]),
        Err(ConfigError::Qos { qos: 2, .. })
    ));
    assert_eq!(check(vec![subscription("a"), subscription("b")]), Ok(()));
}

#[test]
fn credentials_and_backoff_are_checked() {
    let with = |change: fn(&mut BrokerConfig)| {
        let mut config = broker();
        change(&mut config);
        config.check()
    };
    assert_eq!(
        with(|c| c.password = Some(Secret::new(*b"x"))),
        Err(ConfigError::PasswordWithoutUser)
    );
    assert_eq!(with(|c| c.client_id.clear()), Err(ConfigError::ClientId));
    assert_eq!(with(|c| c.port = 0), Err(ConfigError::PortZero));
    assert_eq!(with(|c| c.host.clear()), Err(ConfigError::HostEmpty));
    assert_eq!(
        with(|c| c.backoff.min = DurNs::from_ms(1)),
        Err(ConfigError::Backoff)
    );
    assert_eq!(
        with(|c| c.username = Some("a\0".into())),
        Err(ConfigError::Credential)
    );
}

#[test]
fn secrets_are_not_printed() {
    let mut config = broker();
    config.username = Some("user".into());
    config.password = Some(Secret::new(*b"hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
}
