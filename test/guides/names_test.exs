defmodule Snakepit.Guides.NamesTest do
  # ExDoc looks after the names of functions.
  use ExUnit.Case, async: true

  alias Snakepit.{Metrics, Telemetry}

  for file <- ["README.md" | Path.wildcard("guides/*.md")] do
    test "the metrics and events of #{file} are there" do
      text = File.read!(unquote(file))
      known = for metric <- Metrics.Catalog.all(), do: metric.name

      for [name] <- Regex.scan(~r/\bsnakepit_[a-z_]+_(?:total|seconds|bytes)\b/, text),
          do: assert(name in known)

      for [event] <- Regex.scan(~r/\[:snakepit(?:, :\w+)+\]/, text) do
        {event, _binding} = Code.eval_string(event)
        assert event in Telemetry.events()
      end
    end
  end
end
