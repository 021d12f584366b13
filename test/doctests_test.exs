defmodule Snakepit.DoctestsTest do
  # The examples of the module documentation, on a pool named :default as in an application that is
  # configured.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  @moduletag :capture_log

  setup_all {Snakepit.Test.AppEnv, :keep}

  setup_all do
    python = [path: ["test/support/python"], modules: ["doc_handlers"]]
    Application.put_env(:snakepit, :pool_config, pool_size: 1, python: python)
    capture_log(fn -> :ok = Application.stop(:snakepit) end)
    :ok = Application.start(:snakepit)
  end

  doctest Snakepit
  doctest Snakepit.AdapterFallback
  doctest Snakepit.Array
  doctest Snakepit.Config
  doctest Snakepit.GRPCWorker
  doctest Snakepit.Jobs
  doctest Snakepit.Log
  doctest Snakepit.Metrics
  doctest Snakepit.Pool
  doctest Snakepit.Session
  doctest Snakepit.Status
  doctest Snakepit.Stream
  doctest Snakepit.Telemetry
end
