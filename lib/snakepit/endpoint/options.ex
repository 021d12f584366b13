defmodule Snakepit.Endpoint.Options do
  @moduledoc false
  # The options of `Snakepit.Endpoint`.

  alias Snakepit.Schema

  @schema [
    port: [
      type: {:or, [:port, {:in, [0]}]},
      default: 4040,
      doc: "where to listen; 0 for any that is free, see `Snakepit.Endpoint.port/1`"
    ],
    ip: [type: :ip, default: {127, 0, 0, 1}, doc: "on which address to listen"],
    token: [
      type: :text,
      doc: "what must be shown to cancel; made up and logged at the level info if not given"
    ],
    hosts: [
      type: {:list, :text},
      default: [],
      doc: "names under which the endpoint may be asked, besides `localhost` and IP addresses"
    ],
    interval: [
      type: :pos_integer,
      default: 1_000,
      doc: "milliseconds between two looks of an open page"
    ],
    name: [type: :atom, default: Snakepit.Endpoint, doc: "the name of the process"]
  ]

  @where "Snakepit.Endpoint"

  @spec schema() :: Schema.t()
  def schema, do: @schema

  @spec validate!(term()) :: map()
  def validate!(options),
    do: options |> Schema.options!(@where) |> Schema.validate!(@schema, @where)
end
