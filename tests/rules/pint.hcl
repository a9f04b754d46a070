# The checks of pint that need no Prometheus.
checks {
  # Rules read recordings of other groups, which are at most one interval older.
  disabled = ["rule/dependency"]
}

# Their recordings contain the condition, or they consist of absent().
rule {
  match {
    kind = "alerting"
    name = "BrazeCampaignStale|BrazeCanvasEntriesStopped|BrazeDataIngestionFailing|BrazeSendsStopped|BrazeThresholdMissing"
  }
  disable = ["alerts/comparison"]
}

# Selects metrics by a pattern of their name.
rule {
  match {
    name = "BrazeThresholdMissing"
  }
  disable = ["promql/regexp"]
}

# The parts of its `or` have different labels, which label_replace() sets.
rule {
  match {
    name = "activity:braze_volume:threshold"
  }
  disable = ["promql/impossible"]
}

rule {
  match {
    kind = "alerting"
  }
  label "severity" {
    required = true
    value    = "warning|critical"
    severity = "bug"
  }
}
