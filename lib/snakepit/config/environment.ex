defmodule Snakepit.Config.Environment do
  @moduledoc false
  # The pools that the application environment describes.

  alias Snakepit.{Config, Schema}

  @env_keys [:adapter_module, :adapters, :pool_config, :grpc_config]
  @known_env @env_keys ++
               [:endpoint, :jobs, :log, :pools, :worker_init_timeout, :fallback_adapter]

  @doc """
  The keys that may stand under `config :snakepit`.
  """
  @spec keys() :: [atom()]
  def keys, do: @known_env

  @spec from_env() :: {:ok, [Config.option()]} | :none
  def from_env do
    env = Application.get_all_env(:snakepit)

    if Enum.any?(@env_keys, &present?(env[&1])) do
      {:ok, env_options(env)}
    else
      :none
    end
  end

  @spec pools_from_env() :: [[Config.option()]]
  def pools_from_env do
    env = Application.get_all_env(:snakepit)
    for {key, _value} <- env, do: Schema.known!(key, @known_env, "config :snakepit")

    one =
      case from_env() do
        {:ok, options} -> [options]
        :none -> []
      end

    one ++ listed_pools(env[:pools] || [])
  end

  # As a keyword list they can be spread over several configuration files.
  defp listed_pools(pools) do
    for {name, options} <- options!(pools, :pools),
        do: Keyword.put(options!(options, "pools, #{inspect(name)}"), :name, name)
  end

  defp env_options(env) do
    top =
      env
      |> Keyword.take([:worker_init_timeout, :adapters, :fallback_adapter])
      |> Keyword.merge(adapter: env[:adapter_module])
      |> Enum.filter(fn {_key, value} -> present?(value) end)

    # The more specific setting wins.
    top
    |> Keyword.merge(options!(env[:grpc_config] || [], :grpc_config))
    |> Keyword.merge(options!(env[:pool_config] || [], :pool_config))
  end

  defp options!(options, key), do: Schema.options!(options, "config :snakepit, #{key}:")

  defp present?(value), do: value not in [nil, []]
end
