defmodule Snakepit.Test.JobsHelper do
  @moduledoc """
  Services of jobs for tests, and what tests ask of them.
  """

  import ExUnit.Assertions
  import ExUnit.Callbacks, only: [start_supervised!: 1]

  alias Snakepit.Jobs
  alias Snakepit.Test.PoolHelper

  @python [modules: ["test_handlers", "job_handlers"]]

  @doc """
  A pool with the handlers of `job_handlers.py`.
  """
  def start_pool(options \\ []), do: PoolHelper.start_pool([python: @python] ++ options)

  @doc """
  A service of the test's own. Returns its name.
  """
  def start_jobs(options \\ []) do
    name = :"jobs_#{System.unique_integer([:positive])}"
    start_supervised!({Jobs, [name: name] ++ options})
    name
  end

  def submit!(%{pool: pool, jobs: jobs}, command, args \\ %{}, opts \\ []) do
    {:ok, id} = Jobs.submit(command, args, [pool: pool, jobs: jobs] ++ opts)
    id
  end

  @doc """
  All updates of a job, to its end.
  """
  def updates(id, jobs, opts \\ []),
    do: Enum.to_list(Jobs.watch(id, :stream, [jobs: jobs] ++ opts))

  def await_state(id, jobs, state) do
    assert Enum.any?(Jobs.watch(id, :stream, jobs: jobs), &(&1["state"] == state))
  end

  def states(updates), do: Enum.map(updates, & &1["state"])
end
