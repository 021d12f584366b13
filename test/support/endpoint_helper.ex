defmodule Snakepit.Test.EndpointHelper do
  @moduledoc """
  An endpoint of the test's own, on a port that is free.
  """

  import ExUnit.Callbacks, only: [start_supervised!: 1]

  @token "the token"

  def token, do: @token

  def start_endpoint(options \\ []) do
    name = :"endpoint_#{System.unique_integer([:positive])}"
    options = Keyword.merge([name: name, port: 0, token: @token], options)
    start_supervised!({Snakepit.Endpoint, options})
    {:ok, port} = Snakepit.Endpoint.port(name)
    port
  end
end
