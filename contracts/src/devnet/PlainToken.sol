// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token of the development network that knows neither permits nor authorisations.
/// @notice Stands for the dollars that can only be approved and transferred. Worth nothing.
contract PlainToken is ERC20, Ownable {
    uint8 private immutable DECIMALS;

    /// @param name The token's name.
    /// @param symbol Its symbol, which should say that it is a test's.
    /// @param decimals_ Digits after the point.
    /// @param owner Who may make tokens.
    constructor(string memory name, string memory symbol, uint8 decimals_, address owner)
        ERC20(name, symbol)
        Ownable(owner)
    {
        DECIMALS = decimals_;
    }

    /// @notice Make new tokens. Owner only.
    function mint(address to, uint256 value) external onlyOwner {
        _mint(to, value);
    }

    /// @notice Digits after the point.
    function decimals() public view override returns (uint8) {
        return DECIMALS;
    }
}
