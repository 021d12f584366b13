ExUnit.start(Snakepit.Test.Node.exclude())
